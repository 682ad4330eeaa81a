//! A WebDriver client (W3C WebDriver 2), as much of it as the tests need, over plain HTTP on loopback.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::{PATIENCE, until};

/// The key under which an element is named (WebDriver §11).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How long one driver is given to start the app, before another is tried.
const STARTS: Duration = Duration::from_secs(15);

/// A session: one running app and its window.
pub(crate) struct Session {
    port: u16,
    id: String,
}

/// An element of the window.
pub(crate) struct Element<'a> {
    session: &'a Session,
    id: String,
}

impl Session {
    /// Has the driver at `port` start the app; none where the driver breaks off before it has answered, or does not.
    pub(crate) fn start(port: u16, app: &Path) -> Option<Self> {
        let options = json!({ "binary": app, "args": [] });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "webkitgtk:browserOptions": options } } });
        let answer = until("the driver starts the app", || {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
            Some(exchange(stream, STARTS, "POST", "/session", &wanted))
        })
        .ok()?;
        let id = answer["value"]["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("no session: {answer}"))
            .to_owned();
        Some(Self { port, id })
    }

    /// Runs a script in the window; it has no more rights there than the page.
    pub(crate) fn run(&self, script: &str, arguments: Value) -> Value {
        self.ask("POST", "execute/async", &json!({ "script": script, "args": arguments })).unwrap()
    }

    /// Waits for an element that can be seen.
    pub(crate) fn find(&self, xpath: &str) -> Element<'_> {
        until(xpath, || self.all(xpath).into_iter().find(Element::is_shown))
    }

    /// Whether an element fits that can be seen.
    pub(crate) fn has(&self, xpath: &str) -> bool {
        self.all(xpath).iter().any(Element::is_shown)
    }

    /// Waits until no element fits that can be seen.
    pub(crate) fn gone(&self, xpath: &str) {
        until(&format!("no {xpath}"), || (!self.all(xpath).iter().any(Element::is_shown)).then_some(()));
    }

    /// Clicks the button with this text or label, as soon as it can be clicked: that of the open dialog if there is one.
    pub(crate) fn press(&self, name: &str) {
        let button = format!("//button[not(@disabled)][normalize-space()='{name}' or @aria-label='{name}']");
        self.click(&format!("the button {name}"), &[format!("//dialog[@open]{button}"), button]);
    }

    /// Chooses the option with this title.
    pub(crate) fn choose(&self, title: &str) {
        self.click(title, &[format!("//label[.//strong[normalize-space()='{title}']]")]);
    }

    /// Opens what is folded up under this name: a list entry, or what more there is in a section.
    pub(crate) fn open(&self, name: &str) {
        let folded = format!(
            "//*[self::details[not(@open)]//*[normalize-space()='{name}'] or self::section[@aria-label='{name}']//details[not(@open)]]//summary"
        );
        self.click(name, &[folded]);
    }

    /// Clicks the first that is there, once it lets itself be clicked.
    fn click(&self, what: &str, xpaths: &[String]) {
        let mut clicked = false;
        until(&format!("{what} can be clicked"), || {
            // A click that ends the window may leave it no time to answer.
            if clicked && self.is_over() {
                return Some(());
            }
            let mut all = xpaths.iter().flat_map(|xpath| self.all(xpath));
            let element = all.find(Element::is_shown)?;
            clicked = true;
            element.click()
        });
    }

    /// Types into the field with this label.
    pub(crate) fn fill(&self, label: &str, text: &str) {
        self.field(label).type_text(text);
    }

    /// Types into the field with this label instead of what it holds.
    pub(crate) fn replace(&self, label: &str, text: &str) {
        let field = self.field(label);
        field.clear();
        field.type_text(text);
    }

    /// Fills in the dialog of an import: the port, and an address instead of the one that is suggested.
    pub(crate) fn fill_import(&self, remote: &str, port: &str, address: &str) {
        // At once: the only port that it offers is suggested, which would come between the keys, too.
        self.paste(&format!("Port of {remote}"), port);
        // The suggestion comes once the port was checked, and would come between the keys.
        until("an address is suggested", || {
            (self.field("Address here").property("value") != "").then_some(())
        });
        self.replace("Address here", address);
    }

    /// Puts a text of several lines into the field with this label, instead of what it holds: the driver types no line ends.
    pub(crate) fn paste(&self, label: &str, text: &str) {
        let script = "
            const [field, text, done] = arguments;
            field.value = text;
            field.dispatchEvent(new Event('input', { bubbles: true }));
            done(true);
        ";
        self.run(script, json!([{ ELEMENT: self.field(label).id }, text]));
    }

    /// The field with this label, or with one that starts so.
    pub(crate) fn field(&self, label: &str) -> Element<'_> {
        let field = format!(
            "//*[self::input or self::textarea][@id=//label[starts-with(normalize-space(), '{label}')]/@for or ancestor::label[starts-with(normalize-space(), '{label}')] or @aria-label='{label}']"
        );
        self.find(&field)
    }

    /// Waits for this text anywhere in the window.
    pub(crate) fn sees(&self, text: &str) {
        self.find(&format!("//*[text()[contains(., '{text}')]]"));
    }

    /// A picture of the window, PNG; two frames have passed, so that what was painted last is in it.
    pub(crate) fn picture(&self) -> Vec<u8> {
        self.run("const done = arguments[arguments.length - 1]; requestAnimationFrame(() => requestAnimationFrame(() => done(true)));", json!([]));
        let picture = self.ask("GET", "screenshot", &Value::Null).unwrap();
        data_encoding::BASE64.decode(picture.as_str().unwrap().as_bytes()).unwrap()
    }

    fn all(&self, xpath: &str) -> Vec<Element<'_>> {
        let found = match self.ask("POST", "elements", &json!({ "using": "xpath", "value": xpath })) {
            Ok(found) => found,
            // The page has changed while it was searched.
            Err(error) if error.contains("stale element") => return Vec::new(),
            Err(error) => panic!("{error}"),
        };
        let ids =
            found.as_array().unwrap().iter().map(|element| element[ELEMENT].as_str().unwrap().to_owned());
        ids.map(|id| Element { session: self, id }).collect()
    }

    /// Whether the driver has seen the window end.
    fn is_over(&self) -> bool {
        self.ask("GET", "title", &Value::Null).is_err_and(|error| error.contains("invalid session id"))
    }

    fn ask(&self, method: &str, what: &str, body: &Value) -> Result<Value, String> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let answer =
            exchange(stream, PATIENCE, method, &format!("/session/{}/{what}", self.id), body).unwrap();
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].clone()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The driver is ended next, whatever came of it.
        if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            let _ = exchange(stream, PATIENCE, "DELETE", &format!("/session/{}", self.id), &Value::Null);
        }
    }
}

impl Element<'_> {
    /// Its text, as a person sees it. An element that the page has replaced has none.
    pub(crate) fn text(&self) -> String {
        self.ask("GET", "text", &Value::Null)
            .ok()
            .and_then(|text| Some(text.as_str()?.to_owned()))
            .unwrap_or_default()
    }

    /// An attribute's or property's value.
    pub(crate) fn property(&self, name: &str) -> Value {
        self.ask("GET", &format!("property/{name}"), &Value::Null).unwrap_or_default()
    }

    /// Clicks it, once it lets itself be clicked.
    pub(crate) fn press(&self) {
        until("it can be clicked", || self.click());
    }

    fn is_shown(&self) -> bool {
        self.ask("GET", "displayed", &Value::Null) == Ok(Value::Bool(true))
    }

    /// Clicks it if it is what is seen at its middle. By a script: the driver's own click may act and then report that it could not.
    fn click(&self) -> Option<()> {
        let script = "
            const [element, done] = arguments;
            element.scrollIntoView({ block: 'center' });
            const { x, y, width, height } = element.getBoundingClientRect();
            const free = element.contains(document.elementFromPoint(x + width / 2, y + height / 2));
            if (free) element.click();
            done(free);
        ";
        let body = json!({ "script": script, "args": [{ ELEMENT: self.id }] });
        (self.session.ask("POST", "execute/async", &body) == Ok(Value::Bool(true))).then_some(())
    }

    fn clear(&self) {
        self.ask("POST", "clear", &json!({})).unwrap();
    }

    fn type_text(&self, text: &str) {
        self.ask("POST", "value", &json!({ "text": text })).unwrap();
    }

    fn ask(&self, method: &str, what: &str, body: &Value) -> Result<Value, String> {
        self.session.ask(method, &format!("element/{}/{what}", self.id), body)
    }
}

/// One request and its answer, over a connection of its own.
fn exchange(
    mut stream: TcpStream,
    patience: Duration,
    method: &str,
    path: &str,
    body: &Value,
) -> io::Result<Value> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()))?;
    let mut answer = Vec::new();
    let mut part = [0; 65536];
    loop {
        if let Some(body) = whole_body(&answer) {
            return Ok(serde_json::from_slice(body).unwrap_or_default());
        }
        let read = stream.read(&mut part)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&part[..read]);
    }
}

/// The body of an answer that is all there, by its `Content-Length`.
fn whole_body(answer: &[u8]) -> Option<&[u8]> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse::<usize>().ok()?;
    answer.get(end..end + length)
}
