//! What was typed and can't be understood, as one sentence and a hint instead of the parser's page. Never quotes what may be an invite.

use std::error::Error as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use ormesh_core::model::problem::{Code, Problem, ProblemKind};

use crate::{args, output};

/// Ends the process after a parse that gave no command: help and version are results, anything else is a usage problem.
pub(crate) fn finish(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => output::finish(
            error.print().map(|()| ExitCode::SUCCESS).map_err(|error| output::unwritable(error).into()),
        ),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(ProblemKind::Usage.exit_code())
        }
        _ => output::finish(Err(explain(error).into())),
    }
}

fn explain(error: &clap::Error) -> Problem {
    // The parsers of `args` say it all, with a hint of their own.
    if let Some(problem) = error.source().and_then(|source| source.downcast_ref::<Problem>()) {
        return problem.clone();
    }
    // Names of arguments are ours; what was given for them is not.
    let names = |kind| texts(error, kind).join(" and ").replace(['<', '>', '[', ']'], "");
    let given = |kind| texts(error, kind).iter().map(|text| args::quoted(text)).collect::<Vec<_>>().join(" ");
    let arg = names(ContextKind::InvalidArg);
    let sentence = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            format!("there is no command {}", given(ContextKind::InvalidSubcommand))
        }
        ErrorKind::UnknownArgument if arg.starts_with('-') => {
            format!("there is no such option here: {}", given(ContextKind::InvalidArg))
        }
        ErrorKind::UnknownArgument => {
            format!("there is one argument too many: {}", given(ContextKind::InvalidArg))
        }
        ErrorKind::MissingRequiredArgument => {
            let several = texts(error, ContextKind::InvalidArg).len() > 1;
            format!("{arg} {} missing", if several { "are" } else { "is" })
        }
        ErrorKind::ArgumentConflict => {
            format!("{arg} can't be used with {}", names(ContextKind::PriorArg))
        }
        ErrorKind::InvalidValue if texts(error, ContextKind::InvalidValue).concat().is_empty() => {
            format!("{arg} needs a value")
        }
        ErrorKind::InvalidValue => {
            let known = texts(error, ContextKind::ValidValue).join(", ");
            format!("{arg} is one of {known}, not {}", given(ContextKind::InvalidValue))
        }
        _ => first_line(error),
    };
    let suggested =
        [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg].map(|kind| texts(error, kind));
    let suggested: Vec<String> = suggested.concat().iter().map(|text| format!("`{text}`")).collect();
    let usage = texts(error, ContextKind::Usage).concat();
    let usage = usage.trim_start_matches("Usage:").split_whitespace().collect::<Vec<_>>().join(" ");
    let hint = match (suggested.is_empty(), usage.is_empty()) {
        (false, _) => format!("did you mean {}?", suggested.join(" or ")),
        (true, false) => format!("usage: {usage}"),
        (true, true) => "the same with --help explains it".into(),
    };
    Problem::new(Code::BadArgument, sentence).hint(hint)
}

fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(ContextValue::StyledStr(text)) => vec![text.to_string()],
        Some(ContextValue::StyledStrs(texts)) => texts.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
