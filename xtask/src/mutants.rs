//! `cargo xtask mutants`: breaks the core on purpose, one thing after the other, and sees that its unit tests or the simulation notice.
//!
//! Each mutation is a text that stands once in a file and another one for it. The file is written back whatever happens, but for a kill.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::test::FEATURES;
use crate::workspace::Workspace;
use crate::{process, say};

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
        file: "core/src/agent/commands.rs",
        from: "        self.vault.begin(&ids, Some(chosen)).await?;\n        let written",
        to: "        let written",
    },
    Mutation {
        breaks: "keys that the configuration needs are kept",
        file: "core/src/secrets/journal.rs",
        from: "                Some(true) => {\n                    settled.kept.push(id);\n                    continue;\n                }",
        to: "                Some(true) => {}",
    },
    Mutation {
        breaks: "what could not be erased is erased later",
        file: "core/src/agent/commands.rs",
        from: "                if is_settled && !is_failing {",
        to: "                if is_settled || !is_settled {",
    },
    Mutation {
        breaks: "keys of what is taken out by hand are noted, for somebody to prune",
        file: "core/src/agent/commands.rs",
        from: "        if let Err(problem) = self.vault.set_aside(gone, edited.old.agent.secrets).await {",
        to: "        if let Err(problem) = self.vault.set_aside(Vec::new(), None).await {",
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
        from: "            None if self.in_doubt().await?.is_empty() => return",
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
        from: "introduced.as_ref().filter(|known| !known.what)?;",
        to: "introduced.as_ref().filter(|known| !known.what && given > Moment::MAX)?;",
    },
];

/// Puts a file back as it was.
struct PutBack {
    path: PathBuf,
    text: String,
}

impl Drop for PutBack {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.text) {
            eprintln!("error: failed to write {} back: {error}\nhint: git checkout it", self.path.display());
        }
    }
}

/// Makes each mutation whose words hold `filter`, and tells which of them nobody noticed.
pub(crate) fn run(filter: Option<&str>) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let changed = process::output(
        Command::new("git").args(["status", "--porcelain", "core/src"]).current_dir(workspace.root()),
    )?;
    ensure!(
        changed.trim_ascii().is_empty(),
        "core/src has changes that are not committed\nhint: commit them first, so that nothing can be lost"
    );
    let mut survivors = Vec::new();
    let chosen =
        MUTATIONS.iter().filter(|mutation| filter.is_none_or(|filter| mutation.breaks.contains(filter)));
    for mutation in chosen {
        let caught = is_caught(&workspace, mutation)?;
        say::outcome(caught, mutation.breaks);
        if !caught {
            survivors.push(mutation.breaks);
        }
    }
    match survivors.as_slice() {
        [] => Ok(ExitCode::SUCCESS),
        survivors => bail!("nobody noticed that this was broken:\n{}", survivors.join("\n")),
    }
}

/// Whether a test fails by it. One that does not compile catches nothing: then the table is out of date.
fn is_caught(workspace: &Workspace, mutation: &Mutation) -> Result<bool> {
    let path = workspace.root().join(mutation.file);
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let places = text.matches(mutation.from).count();
    ensure!(places == 1, "{} has {places} places of: {}", mutation.file, mutation.from);
    let _back = PutBack { path: path.clone(), text: text.clone() };
    fs::write(&path, text.replace(mutation.from, mutation.to))?;
    let test = |more: &[&str]| {
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--quiet", "--workspace", "--lib"]).args(FEATURES).args(more);
        cargo
    };
    ensure!(test(&["--no-run"]).output()?.status.success(), "it does not compile: {}", mutation.breaks);
    // The quickest first: most are noticed by these.
    for room in ["model::", "plan::", "secrets::", "forward::gate", "agent::"] {
        if !test(&["--", room]).output()?.status.success() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_has_one_place() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for mutation in &MUTATIONS {
            let text = fs::read_to_string(root.join(mutation.file)).unwrap();
            assert_eq!(text.matches(mutation.from).count(), 1, "{}: {}", mutation.file, mutation.from);
            assert_ne!(mutation.from, mutation.to);
        }
    }
}
