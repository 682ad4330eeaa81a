//! What was typed and can't be understood, as one sentence and a hint instead of the parser's page. Never quotes what may be an invite.

use std::error::Error as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use ormesh_core::model::problem::{Problem, ProblemKind};

use crate::{args, output};

/// Ends the process after a parse that gave no command: help and version are results, anything else is a usage problem.
pub(crate) fn finish(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::finish(error.print().map(|()| ExitCode::SUCCESS).map_err(Into::into))
        }
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
    let given = |kind| texts(error, kind).into_iter().map(args::quotable).collect::<Vec<_>>();
    let arg = given(ContextKind::InvalidArg).join(" ");
    let value = given(ContextKind::InvalidValue).join(" ");
    let usage = texts(error, ContextKind::Usage).concat();
    let usage = usage.trim_start_matches("Usage:").split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            format!("there is no command {:?}", given(ContextKind::InvalidSubcommand).join(" "))
        }
        ErrorKind::UnknownArgument if arg.starts_with('-') => format!("there is no option {arg} here"),
        ErrorKind::UnknownArgument => format!("{arg:?} is one argument too many"),
        ErrorKind::MissingRequiredArgument => {
            let missing = texts(error, ContextKind::InvalidArg).join(" and ");
            format!("{} is missing", missing.replace(['<', '>'], ""))
        }
        ErrorKind::ArgumentConflict => {
            format!("{arg} can't be used with {}", given(ContextKind::PriorArg).join(" and "))
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("{arg} needs a value"),
        ErrorKind::InvalidValue => {
            let known = texts(error, ContextKind::ValidValue);
            format!("{} is one of {}, not {value:?}", arg.replace(['<', '>'], ""), known.join(", "))
        }
        _ => first_line(error),
    };
    let suggestion = texts(error, ContextKind::SuggestedSubcommand)
        .into_iter()
        .chain(texts(error, ContextKind::SuggestedArg))
        .next()
        .map(|suggested| format!("did you mean `{suggested}`?"));
    let hint = suggestion.unwrap_or(match usage.is_empty() {
        true => "ormesh --help lists the commands".into(),
        false => format!("usage: {usage}; --help explains it"),
    });
    Problem::new(ProblemKind::Usage, sentence).hint(hint)
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
