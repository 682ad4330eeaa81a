//! Asks for a text that the terminal does not show, and leaves the terminal as it was on every way out: an answer, Ctrl-C, a signal.

use std::io;

use zeroize::Zeroizing;

#[cfg_attr(unix, path = "prompt/unix.rs")]
#[cfg_attr(windows, path = "prompt/windows.rs")]
mod system;

/// Asks until it is enough, line by line, since a pasted text may have several; an empty line ends it, too.
///
/// A signal ends the process here, with the exit code that shells expect of it.
pub(crate) async fn hidden(
    question: &'static str,
    more: &'static str,
    enough: impl Fn(&str) -> bool + Send + 'static,
) -> io::Result<Zeroizing<String>> {
    // Before the terminal is changed, so that no signal falls in between.
    let ended = system::ended()?;
    // Between two lines, too, the terminal shows nothing.
    let terminal = system::hide()?;
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = Zeroizing::new(rpassword::prompt_password(question)?);
        let mut last_is_empty = text.trim().is_empty();
        while !last_is_empty && !enough(&text) {
            let line = match rpassword::prompt_password(more) {
                Ok(line) => Zeroizing::new(line),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            };
            last_is_empty = line.trim().is_empty();
            let mut longer = Zeroizing::new(String::with_capacity(text.len() + 1 + line.len()));
            longer.extend([text.as_str(), "\n", line.as_str()]);
            text = longer;
        }
        Ok(text)
    });
    let code = tokio::select! {
        biased;
        code = ended => code,
        read = reading => match read? {
            // The reader has taken Ctrl-C for itself.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => system::INTERRUPTED,
            read => {
                drop(terminal);
                return read;
            }
        },
    };
    drop(terminal);
    // The cursor stands behind the question.
    crate::output::always_said("");
    std::process::exit(code)
}
