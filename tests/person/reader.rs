//! What a screen reader reads of a desktop: the parts of each program's windows, over AT-SPI (`org.a11y.atspi` on the accessibility bus).

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use zbus::MatchRule;
use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, MessageIterator, Proxy};
use zbus::zvariant::{OwnedObjectPath, Structure};

/// Of a program that has ended or hangs nothing is read.
const PATIENCE: Duration = Duration::from_secs(5);
/// More levels than any window has.
const DEPTH: usize = 40;
const ACCESSIBLE: &str = "org.a11y.atspi.Accessible";

/// Where a part is: the program's name on the bus, and the part's own.
type Place = (String, OwnedObjectPath);

/// What a part is (`AtspiRole`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Role(u32);

impl Role {
    pub(crate) const FRAME: Self = Self(23);
    pub(crate) const PASSWORD: Self = Self(40);
    pub(crate) const BUTTON: Self = Self(43);
    pub(crate) const HEADING: Self = Self(83);
}

/// A part of a window.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    place: Place,
    depth: usize,
    pub(crate) role: Role,
    /// Its name, or else its text.
    pub(crate) says: String,
}

/// Reads what is on one session's screen.
pub(crate) struct Reader {
    bus: Connection,
    selected: Receiver<Place>,
}

impl Reader {
    /// Asks the session at this address for its accessibility bus, and says that somebody reads.
    pub(crate) fn on(session: &str) -> Self {
        let session = Builder::address(session).and_then(Builder::build).unwrap();
        let status = Proxy::new(&session, "org.a11y.Bus", "/org/a11y/bus", "org.a11y.Status").unwrap();
        status.set_property("IsEnabled", true).unwrap();
        let launcher = Proxy::new(&session, "org.a11y.Bus", "/org/a11y/bus", "org.a11y.Bus").unwrap();
        let address: String = launcher.call("GetAddress", &()).unwrap();
        let bus = Builder::address(address.as_str()).unwrap().method_timeout(PATIENCE).build().unwrap();
        let selected = selections(&bus);
        Self { bus, selected }
    }

    /// What a menu has highlighted since this was asked last. A menu that is another part's own is in no list of parts.
    pub(crate) fn selected(&self) -> Option<String> {
        self.property(&self.selected.try_iter().last()?, "Name")
    }

    /// All parts of the programs with this name, each before what is in it.
    pub(crate) fn parts(&self, program: &str) -> Vec<Part> {
        let root = ("org.a11y.atspi.Registry".to_owned(), "/org/a11y/atspi/accessible/root");
        let root = (root.0, OwnedObjectPath::try_from(root.1).unwrap());
        let mut parts = Vec::new();
        for place in self.children(&root) {
            if self.property::<String>(&place, "Name").as_deref() == Some(program) {
                self.gather(place, 0, &mut parts);
            }
        }
        parts
    }

    /// The first part of this kind that says such a thing.
    pub(crate) fn find(&self, program: &str, role: Role, says: impl Fn(&str) -> bool) -> Option<Part> {
        self.parts(program).into_iter().find(|part| part.role == role && says(&part.says))
    }

    /// The middle of a part, on the screen.
    pub(crate) fn middle(&self, part: &Part) -> Option<(i16, i16)> {
        let (x, y, width, height) = self.extents(part)?;
        let middle = |from: i32, size: i32| i16::try_from(from + size / 2).ok();
        (width > 0 && height > 0).then_some((middle(x, width)?, middle(y, height)?))
    }

    /// Everything that can be read of these programs, as lines for people.
    pub(crate) fn told(&self, programs: &[&str]) -> String {
        let lines = programs.iter().flat_map(|program| self.parts(program)).map(|part| {
            let (Role(role), extents) = (part.role, self.extents(&part).unwrap_or_default());
            format!("{}{role} {:?} {extents:?}\n", " ".repeat(part.depth), part.says)
        });
        lines.collect()
    }

    fn extents(&self, part: &Part) -> Option<(i32, i32, i32, i32)> {
        // On the screen, not in the window.
        let ((x, y, width, height),): ((i32, i32, i32, i32),) =
            self.ask(&part.place, "org.a11y.atspi.Component", "GetExtents", &(0_u32,))?;
        Some((x, y, width, height))
    }

    fn gather(&self, place: Place, depth: usize, parts: &mut Vec<Part>) {
        let Some(role) = self.ask(&place, ACCESSIBLE, "GetRole", &()) else { return };
        let name: String = self.property(&place, "Name").unwrap_or_default();
        let text = || self.ask(&place, "org.a11y.atspi.Text", "GetText", &(0_i32, -1_i32));
        let says = if name.is_empty() { text().unwrap_or_default() } else { name };
        parts.push(Part { place: place.clone(), depth, role: Role(role), says });
        if depth < DEPTH {
            self.children(&place).into_iter().for_each(|child| self.gather(child, depth + 1, parts));
        }
    }

    /// What is in a part. Of a page that another process shows, GTK 3 gives the number alone by `GetChildren`.
    fn children(&self, place: &Place) -> Vec<Place> {
        let children: Vec<Place> = self.ask(place, ACCESSIBLE, "GetChildren", &()).unwrap_or_default();
        if !children.is_empty() {
            return children;
        }
        let count: i32 = self.property(place, "ChildCount").unwrap_or_default();
        (0..count).filter_map(|index| self.ask(place, ACCESSIBLE, "GetChildAtIndex", &(index,))).collect()
    }

    fn property<T>(&self, place: &Place, name: &str) -> Option<T>
    where
        T: TryFrom<zbus::zvariant::OwnedValue>,
        T::Error: Into<zbus::Error>,
    {
        self.proxy(place, ACCESSIBLE)?.get_property(name).ok()
    }

    fn ask<B, R>(&self, place: &Place, interface: &str, method: &str, body: &B) -> Option<R>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
        R: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
    {
        self.proxy(place, interface)?.call(method, body).ok()
    }

    fn proxy(&self, (owner, path): &Place, interface: &str) -> Option<Proxy<'_>> {
        use zbus::proxy::CacheProperties;
        let builder = zbus::blocking::proxy::Builder::new(&self.bus);
        let builder = builder.destination(owner.clone()).ok()?.path(path.clone()).ok()?;
        let builder = builder.interface(interface.to_owned()).ok()?;
        // Each look is a new one.
        builder.cache_properties(CacheProperties::No).build().ok()
    }
}

/// Hears of each part that is selected from now on, until the connection ends.
fn selections(bus: &Connection) -> Receiver<Place> {
    const EVENT: &str = "object:state-changed:selected";
    let rule = MatchRule::builder().interface("org.a11y.atspi.Event.Object").unwrap();
    let rule = rule.member("StateChanged").unwrap().build();
    let events = MessageIterator::for_match_rule(rule, bus, None).unwrap();
    let registry = "org.a11y.atspi.Registry";
    let registry = Proxy::new(bus, registry, "/org/a11y/atspi/registry", registry).unwrap();
    let _: () = registry.call("RegisterEvent", &(EVENT,)).unwrap();
    let (tell, selected) = channel();
    thread::spawn(move || {
        for event in events.flatten() {
            let (header, body) = (event.header(), event.body());
            let Ok(fields) = body.deserialize::<Structure<'_>>() else { continue };
            let what = fields.fields().first().and_then(|what| what.downcast_ref::<&str>().ok());
            let on = fields.fields().get(1).and_then(|on| on.downcast_ref::<i32>().ok());
            let (Some(sender), Some(path)) = (header.sender(), header.path()) else { continue };
            if what == Some("selected")
                && on == Some(1)
                && tell.send((sender.to_string(), path.to_owned().into())).is_err()
            {
                return;
            }
        }
    });
    selected
}
