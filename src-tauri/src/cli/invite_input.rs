//! Where `remote add` takes an invite from: its argument, standard input, a file, or a prompt that does not show it.

use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use ormesh_core::ipc::Confidential;
use ormesh_core::model::invite::Invite;
use ormesh_core::model::problem::{Code, Problem};
use ormesh_core::model::tor_format;
use zeroize::Zeroizing;

use crate::prompt;

/// The most that is read, in bytes: every form of an invite is far shorter.
const MAX: u64 = 64 * 1024;

/// An invite, or where it is.
#[derive(clap::Args)]
pub(crate) struct InviteInput {
    /// The invite: ormesh1…, or a line of tor's .auth_private form. `-` reads standard input; left out, it is asked for
    /// without being shown
    #[arg(value_name = "INVITE", allow_hyphen_values = false)]
    invite: Option<String>,
    /// Read the invite from a file
    #[arg(long, value_name = "FILE", conflicts_with = "invite")]
    file: Option<PathBuf>,
}

impl InviteInput {
    /// What is to be said of an invite that was typed as an argument; none for the other ways.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        let typed = self.invite.as_ref().is_some_and(|invite| invite != "-");
        typed.then_some(
            "the invite stays in the shell's history; left out, it is asked for without being shown",
        )
    }

    /// Reads it.
    pub(crate) async fn read(self) -> Result<Confidential, Problem> {
        let text = match (self.invite, self.file) {
            (Some(dash), None) if dash == "-" => from_reader(io::stdin().lock(), "standard input")?,
            (Some(text), _) => Zeroizing::new(text),
            (None, Some(path)) => from_file(&path)?,
            (None, None) => from_prompt().await?,
        };
        Ok(Confidential::new(text))
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, Problem> {
    let place = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| failed(&place, &error))?;
    from_reader(file, &place)
}

fn from_reader(reader: impl Read, place: &str) -> Result<Zeroizing<String>, Problem> {
    let mut bytes = Zeroizing::new(Vec::new());
    reader.take(MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(place, &error))?;
    if bytes.len() as u64 > MAX {
        // The invite may be in what was not read.
        let message = format!("what is in {place} is far too long for an invite");
        return Err(Problem::new(Code::BadInvite, message).hint("copy the invite alone: ormesh1…"));
    }
    let text = Zeroizing::new(text_of(&bytes));
    match text.trim().is_empty() {
        true => Err(nothing_in(place)),
        false => Ok(text),
    }
}

/// The text of a saved mail, in whatever encoding: an invite is ASCII. Windows' own programs write UTF-16 with a mark in front.
fn text_of(bytes: &[u8]) -> String {
    match bytes.strip_prefix(&[0xff, 0xfe]) {
        Some(wide) => {
            let units: Zeroizing<Vec<u16>> = Zeroizing::new(
                wide.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect(),
            );
            String::from_utf16_lossy(&units)
        }
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

async fn from_prompt() -> Result<Zeroizing<String>, Problem> {
    if !io::stdin().is_terminal() {
        return Err(Problem::new(Code::BadArgument, "INVITE is missing").hint(
            "give it as an argument, by --file FILE, or on standard input: ormesh remote add NAME - < FILE",
        ));
    }
    let more = "more of it (not shown; an empty line ends it): ";
    match prompt::hidden("invite (not shown): ", more, is_whole).await {
        Ok(text) if text.trim().is_empty() => Err(nothing_in("what was typed")),
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(nothing_in("the terminal")),
        Err(error) => Err(failed("the terminal", &error)),
    }
}

/// Whether nothing more need be read.
fn is_whole(text: &str) -> bool {
    Invite::is_in(text) || tor_format::parse_auth_private(text).is_ok()
}

fn nothing_in(place: &str) -> Problem {
    Problem::new(Code::BadInvite, format!("there is no invite in {place}"))
        .hint("it is the text that `ormesh client add` printed on the other host")
}

fn failed(place: &str, error: &io::Error) -> Problem {
    Problem::new(Code::FileFailed, format!("failed to read the invite from {place}: {error}"))
}
