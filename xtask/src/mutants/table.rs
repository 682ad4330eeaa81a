//! What is broken on purpose, and how: one mutation for each rule that matters.
//!
//! Each is a text that stands once in a file, and another one for it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::change::Change;

/// What is broken, and how.
struct Mutation {
    /// The invariant or rule that it breaks, in words.
    breaks: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const MUTATIONS: [Mutation; 29] = [
    Mutation {
        breaks: "keys of remotes are handed to tor",
        file: "core/src/plan/mod.rs",
        from: "        add_keys(&mut plan, desired, observed, now);",
        to: "",
    },
    Mutation {
        breaks: "a published service with another key is not the right one",
        file: "core/src/plan/mod.rs",
        from: "published.key == service.key && published.ports.iter().eq(service.ports.keys())",
        to: "published.ports.iter().eq(service.ports.keys())",
    },
    Mutation {
        breaks: "a backoff ends",
        file: "core/src/model/pauses.rs",
        from: ".min(longest)",
        to: ".max(longest)",
    },
    Mutation {
        breaks: "a client is allowed another number of sessions at once",
        file: "core/src/forward/gate.rs",
        from: "        self.member.set_cap(cap);",
        to: "        let _ = cap;",
    },
    Mutation {
        breaks: "nothing expired is reachable",
        file: "core/src/plan/desired.rs",
        from: "client.expires.is_some_and(|day| day.is_over(today))",
        to: "false && client.expires.is_some_and(|day| day.is_over(today))",
    },
    Mutation {
        breaks: "a gate that nobody is granted is closed",
        file: "core/src/plan/mod.rs",
        from: "            plan.steps.push(Step::CloseGate(*address, *port));",
        to: "            let _ = port;",
    },
    Mutation {
        breaks: "a service that is not wanted is taken down",
        file: "core/src/plan/mod.rs",
        from: "            plan.steps.push(Step::Withdraw(*address));",
        to: "            let _ = address;",
    },
    Mutation {
        breaks: "nothing runs while paused",
        file: "core/src/plan/desired.rs",
        from: "        if paused {",
        to: "        if paused && config.clients.len() > 99 {",
    },
    Mutation {
        breaks: "access ends when a client is deleted, whatever the file says",
        file: "core/src/agent/serve.rs",
        from: "            generation = self.store.revoke(name, client);",
        to: "            generation = self.in_force.borrow().generation;",
    },
    Mutation {
        breaks: "what tor lost is published again",
        file: "core/src/plan/observed.rs",
        from: "        self.published.clear();",
        to: "",
    },
    Mutation {
        breaks: "a service that tor may have all the same is not taken for gone",
        file: "core/src/plan/observed.rs",
        from: "            self.published.insert(*address, published);\n            self.health",
        to: "            let _ = published;\n            self.health",
    },
    Mutation {
        breaks: "the journal is told before a key is written",
        file: "core/src/agent/commands/changes.rs",
        from: "        self.vault.doubts.begin(&ids, Some(chosen)).await?;\n        let written",
        to: "        let written",
    },
    Mutation {
        breaks: "keys that the configuration needs are kept",
        file: "core/src/secrets/journal.rs",
        from: "                Some(true) => {\n                    settled.kept.push(id);\n                    continue;\n                }",
        to: "                Some(true) => {}",
    },
    Mutation {
        breaks: "what can't be settled is tried ever less often",
        file: "core/src/agent/commands/changes.rs",
        from: "                if is_settled && !is_failing {",
        to: "                if is_settled || !is_settled {",
    },
    Mutation {
        breaks: "keys of what is taken out by hand are noted, for somebody to prune",
        file: "core/src/agent/commands/changes.rs",
        from: "        if let Err(problem) = self.vault.doubts.set_aside(gone, edited.old.agent.secrets).await {",
        to: "        if let Err(problem) = self.vault.doubts.set_aside(Vec::new(), None).await {",
    },
    Mutation {
        breaks: "what was cut by hand and is pasted again has lost nothing",
        file: "core/src/secrets/journal.rs",
        from: "            content.set_aside.extend(ids);",
        to: "            content.in_doubt.extend(ids);",
    },
    Mutation {
        breaks: "what fails is not tried again at once, and again",
        file: "core/src/plan/mod.rs",
        from: "        Some(at) if at > now => {",
        to: "        Some(at) if at > now && false => {",
    },
    Mutation {
        breaks: "a client is said to be reachable only when a directory has its descriptor",
        file: "core/src/plan/derive.rs",
        from: "    let is_there = view.health().is_uploaded(&client.address)\n        && view.health()",
        to: "    let is_there = view.health().is_uploaded(&client.address)\n        || view.health()",
    },
    Mutation {
        breaks: "a problem that stands has stood since it began",
        file: "core/src/plan/standing.rs",
        from: "known.get(&problem.id()).map_or(now, |since| *since.min(&now))",
        to: "known.get(&problem.id()).map_or(now, |_| now)",
    },
    Mutation {
        breaks: "of two things with the same trouble, the later one begins anew",
        file: "core/src/plan/standing.rs",
        from: "known.get(&problem.id())",
        to: "known.iter().find(|((code, _), _)| *code == problem.code).map(|(_, since)| since)",
    },
    Mutation {
        breaks: "the worst problem comes first",
        file: "core/src/plan/standing.rs",
        from: "    once.sort_by(|a, b| (a.severity, a.id()).cmp(&(b.severity, b.id())));",
        to: "    once.sort_by(|a, b| a.id().cmp(&b.id()));",
    },
    Mutation {
        breaks: "problems that are equally bad have an order of their own",
        file: "core/src/plan/standing.rs",
        from: "(a.severity, a.id()).cmp(&(b.severity, b.id()))",
        to: "a.severity.cmp(&b.severity)",
    },
    Mutation {
        breaks: "problems of two things are two",
        file: "core/src/model/problem/mod.rs",
        from: "        (self.code, self.subject.as_ref())",
        to: "        (self.code, None)",
    },
    Mutation {
        breaks: "a problem that another version sent is as bad as this version's code says",
        file: "core/src/model/problem/mod.rs",
        from: "            code => (code.kind(), code.severity()),",
        to: "            _ => (kind.unwrap_or_default(), severity.unwrap_or_default()),",
    },
    Mutation {
        breaks: "doctor tells of a client what stands of that client",
        file: "core/src/plan/findings.rs",
        from: ".find(|problem| problem.is_about(&subject))",
        to: ".find(|problem| problem.is_about(&subject) || problem.subject.is_some())",
    },
    Mutation {
        breaks: "of a service, what came of the last try is said first",
        file: "core/src/plan/findings.rs",
        from: "    let problem = failure\n        .map(|backoff| &backoff.problem)\n        .or_else(|| standing.iter().find(|problem| problem.is_about(&subject)));",
        to: "    let problem = standing\n        .iter()\n        .find(|problem| problem.is_about(&subject))\n        .or(failure.map(|backoff| &backoff.problem));",
    },
    Mutation {
        breaks: "what the very first change has left behind is erased, whichever store is named after it",
        file: "core/src/agent/vault.rs",
        from: "            None if self.doubts.in_doubt().await?.is_empty() => return",
        to: "            None if !to.to_string().is_empty() => return",
    },
    Mutation {
        breaks: "no store is written into a file that names a third one by then",
        file: "core/src/model/key_change.rs",
        from: "named.filter(|named| named != to && Some(*named) != *from)",
        to: "named.filter(|_| false && from.is_none())",
    },
    Mutation {
        breaks: "a service that an outage has left without introduction points is published again",
        file: "core/src/plan/health/mod.rs",
        from: "introduced.as_ref().filter(|known| !known.what || service.passed_by)?;",
        to: "introduced.as_ref().filter(|known| !known.what && given > Moment::MAX)?;",
    },
];

/// Those whose words hold `filter`, as changes of the files below `root`.
pub(super) fn changes(root: &Path, filter: Option<&str>) -> Result<Vec<Change>> {
    let chosen =
        MUTATIONS.iter().filter(|mutation| filter.is_none_or(|filter| mutation.breaks.contains(filter)));
    chosen.map(|mutation| mutation.in_file_of(root)).collect()
}

impl Mutation {
    fn in_file_of(&self, root: &Path) -> Result<Change> {
        let Mutation { breaks, file, from, to } = self;
        let text = fs::read_to_string(root.join(file)).with_context(|| format!("failed to read {file}"))?;
        let places: Vec<_> = text.match_indices(from).map(|(at, _)| at).collect();
        ensure!(places.len() == 1 && from != to, "{file} has {} places of: {from}", places.len());
        Ok(Change {
            name: (*breaks).to_owned(),
            file: (*file).to_owned(),
            place: places[0]..places[0] + from.len(),
            instead: (*to).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_has_one_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(changes(root, None).unwrap().len(), MUTATIONS.len());
        assert_eq!(changes(root, Some("a backoff ends")).unwrap().len(), 1);
    }
}
