//! Where to listen, for whom. What is X-Grey's protocol alone is in [`super::x_grey`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::check::one_of;
use super::http::{self, HttpListener};
use super::keys;
use super::mistake::Mistake;
use super::reader::{Notes, Word, Words};
use super::surroundings::Surroundings;
use super::text::{ConfigText, ListenText};
use super::x_grey::{self, Changes, XGreyListener};

/// The longest path of a UNIX socket: `sun_path` has 108 bytes on Linux, the last of them zero.
pub(super) const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The usual port: postgrey's.
const PORT: u16 = 10_023;

/// More listeners than this are refused: each is compared with each.
const LISTENERS_MAX: usize = 256;

/// One place to listen at for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Where it is.
    pub address: ListenAddress,
    /// TCP: who may ask; anybody else is refused. Not empty unless the admin wrote so.
    /// UNIX sockets have their mode and owner instead, and this is empty.
    pub allow: Vec<IpNet>,
    /// Who of these may change tuples, where the protocol has words for it.
    pub changes: Changes,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Postfix's policy delegation; Exim can speak it too.
    Postfix,
    /// Sendmail's filters; Postfix speaks it too.
    Milter,
    /// What Exim's ACLs ask Debian's `greylistd`.
    Greylistd,
}

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A UNIX socket.
    Unix {
        /// Its absolute path, of at most 107 bytes.
        path: PathBuf,
        /// Its permission bits; `None`: whoever may enter the folder may ask.
        mode: Option<u32>,
        /// Whom it is given to.
        owner: Option<Owner>,
    },
}

/// The owner of a UNIX socket. Both exist on the machine that read the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's name and number.
    pub user: (String, u32),
    /// The group's name and number; `None`: the group stays as it is.
    pub group: Option<(String, u32)>,
}

/// As it is written: `127.0.0.1:10023`, `unix:/run/xgrey/postfix.sock`.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postfix => f.write_str("postfix"),
            Self::Milter => f.write_str("milter"),
            Self::Greylistd => f.write_str("greylistd"),
        }
    }
}

/// Postfix's policy protocol on 127.0.0.1:10023, postgrey's port.
impl Default for Listener {
    fn default() -> Self {
        Self {
            protocol: Protocol::Postfix,
            address: ListenAddress::Tcp((Ipv4Addr::LOCALHOST, PORT).into()),
            allow: loopback(),
            changes: Changes::default(),
        }
    }
}

/// 127.0.0.0/8 and ::1.
pub(super) fn loopback() -> Vec<IpNet> {
    let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    let v6 = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128);
    vec![v4.into(), v6.into()]
}

/// Everywhere that is listened.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// For connections.
    pub(super) streams: Vec<Listener>,
    /// For X-Grey's clients.
    pub(super) x_grey: Vec<XGreyListener>,
    /// For HTTP.
    pub(super) http: Vec<HttpListener>,
}

impl Listeners {
    /// Postfix's policy protocol at its usual port.
    pub(super) fn postfix() -> Self {
        Self { streams: vec![Listener::default()], ..Self::default() }
    }

    /// That, and X-Grey's protocol at its usual port.
    pub(super) fn postfix_and_x_grey() -> Self {
        Self { x_grey: vec![XGreyListener::default()], ..Self::postfix() }
    }
}

/// What is spoken in one `[[listen]]`.
#[derive(Clone, Copy)]
enum Spoken {
    Streams(Protocol),
    XGrey,
    Http,
}

const SPOKEN: [(&str, Spoken); 5] = [
    ("postfix", Spoken::Streams(Protocol::Postfix)),
    ("milter", Spoken::Streams(Protocol::Milter)),
    ("greylistd", Spoken::Streams(Protocol::Greylistd)),
    ("x-grey", Spoken::XGrey),
    ("http", Spoken::Http),
];

/// The addresses so far, with the places where they are written.
#[derive(Default)]
struct Taken(Vec<(ListenAddress, Range<usize>)>);

impl Taken {
    /// Adds one, and notes it if another has it already.
    fn add(&mut self, address: ListenAddress, span: Range<usize>, notes: &mut Notes<'_>) {
        let earlier = self.0.iter().find(|(other, _)| collide(other, &address));
        if let Some((_, earlier)) = earlier {
            let there = notes.place(earlier.clone());
            notes
                .error(span.clone(), "two listeners cannot have the same address")
                .label("already listened on")
                .related(there, "by this one");
        }
        self.0.push((address, span));
    }
}

/// Checks all `[[listen]]`; without any, they are what `default` makes. Relative paths start from `base`.
pub(super) fn listeners(
    written: &ConfigText<'_>,
    default: fn() -> Listeners,
    notes: &mut Notes<'_>,
    base: &Path,
    surroundings: &dyn Surroundings,
) -> Listeners {
    let Some(texts) = &written.listen else { return default() };
    if texts.get_ref().is_empty() {
        notes
            .error(texts.span(), "there is nothing to listen on")
            .label("an empty list")
            .help("leave out `listen` to listen on 127.0.0.1:10023");
    }
    if texts.get_ref().len() > LISTENERS_MAX {
        notes
            .error(texts.span(), "too many listeners")
            .label(format!("the first of {}", texts.get_ref().len()))
            .help(format!("use at most {LISTENERS_MAX}"));
        return default();
    }
    let mut listeners = Listeners::default();
    let mut taken = Taken::default();
    for text in texts.get_ref() {
        let span = text.address.as_ref().map_or(text.header.clone(), toml::Spanned::span);
        match one_of(notes, "protocol", text.protocol.as_ref(), &SPOKEN) {
            Some(Spoken::XGrey) => {
                let Some(listener) = x_grey::listener(text, notes) else { continue };
                taken.add(ListenAddress::Tcp(listener.address), span, notes);
                listeners.x_grey.push(listener);
            }
            Some(Spoken::Http) => {
                let Some(listener) = http::listener(text, notes, base, surroundings) else {
                    continue;
                };
                taken.add(listener.address.clone(), span, notes);
                listeners.http.push(listener);
            }
            // What it needs besides is not known.
            None if text.protocol.is_some() && text.lacks_address.is_some() => {}
            spoken => {
                let protocol = match spoken {
                    Some(Spoken::Streams(protocol)) => protocol,
                    _ => Protocol::Postfix,
                };
                let Some(listener) = listener(text, protocol, notes, surroundings) else {
                    continue;
                };
                taken.add(listener.address.clone(), span, notes);
                listeners.streams.push(listener);
            }
        }
    }
    x_grey::check_number(&listeners.x_grey, texts.span(), notes);
    http::check_number(&listeners.http, texts.span(), notes);
    listeners
}

/// Whether only one of two can be listened on: the same, or one of them all addresses of a port.
fn collide(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => {
            let overlap = one.ip() == other.ip()
                || (one.is_ipv4() == other.is_ipv4()
                    && (one.ip().is_unspecified() || other.ip().is_unspecified()));
            // Port 0 is another free port each time.
            one.port() == other.port() && one.port() != 0 && overlap
        }
        (ListenAddress::Unix { path: one, .. }, ListenAddress::Unix { path: other, .. }) => {
            one == other
        }
        _ => false,
    }
}

fn listener(
    text: &ListenText<'_>,
    protocol: Protocol,
    notes: &mut Notes<'_>,
    surroundings: &dyn Surroundings,
) -> Option<Listener> {
    x_grey::no_secret(text, notes);
    http::not_here(text, notes);
    let changes = match protocol {
        Protocol::Greylistd => x_grey::changes(text, notes),
        Protocol::Postfix | Protocol::Milter => {
            x_grey::no_changes(text, notes);
            Changes::default()
        }
    };
    if let Some(header) = text.lacks_address.clone() {
        notes.missing(&keys::LISTEN, "address", header);
    }
    let (address, allow) = place(text, PORT, notes, surroundings)?;
    Some(Listener { protocol, address, allow, changes })
}

/// Where a listener is, and who may use it. `port` is the usual one, for the mend.
pub(super) fn place(
    text: &ListenText<'_>,
    port: u16,
    notes: &mut Notes<'_>,
    surroundings: &dyn Surroundings,
) -> Option<(ListenAddress, Vec<IpNet>)> {
    let mode = text.mode.as_ref().and_then(|word| socket_mode(word, notes));
    let owner = text.owner.as_ref().and_then(|word| owner(word, notes, surroundings));
    let allow = text.allow.as_ref().map(|words| networks(words, notes));
    let address = text.address.as_ref()?;
    match parse_address(address.get_ref(), port) {
        Err(mistake) => {
            notes.mistake("address", address.span(), mistake);
            None
        }
        Ok(Address::Port(socket)) => {
            sockets_only(text, notes);
            let allow = allow.unwrap_or_else(|| allowed_by_default(socket, address, notes));
            Some((ListenAddress::Tcp(socket), allow))
        }
        Ok(Address::Unix(path)) => {
            if let Some(words) = &text.allow {
                notes
                    .error(words.span(), "`allow` is for TCP listeners")
                    .label("a UNIX socket has no client addresses")
                    .help("remove it; `mode` and `owner` say who may use the socket");
            }
            let address = ListenAddress::Unix { path, mode, owner };
            Some((address, Vec::new()))
        }
    }
}

/// Notes what a listener on a port cannot have.
pub(super) fn sockets_only(text: &ListenText<'_>, notes: &mut Notes<'_>) {
    for (key, word) in [("mode", &text.mode), ("owner", &text.owner)] {
        if let Some(word) = word {
            notes
                .error(word.span(), format!("`{key}` is for UNIX sockets"))
                .label("this listener is a port")
                .help("remove it; `allow` says which networks may use the port");
        }
    }
}

/// Loopback serves itself; anything wider must say whom it serves.
pub(super) fn allowed_by_default(
    socket: SocketAddr,
    address: &Word<'_>,
    notes: &mut Notes<'_>,
) -> Vec<IpNet> {
    if !socket.ip().to_canonical().is_loopback() {
        notes
            .error(address.span(), "a listener beyond loopback must say who may use it")
            .label("can be reached from other machines")
            .help("add the networks of your mail servers: allow = [\"192.0.2.0/24\"]")
            .help(format!("or listen on this machine only: \"127.0.0.1:{}\"", socket.port()));
    }
    loopback()
}

pub(super) enum Address {
    Port(SocketAddr),
    Unix(PathBuf),
}

/// Reads `127.0.0.1:10023`, `[::1]:10023` or `unix:/run/xgrey/postfix.sock`. `port` is the usual one,
/// for the mend.
pub(super) fn parse_address(text: &str, port: u16) -> Result<Address, Mistake> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket_path(path).map(Address::Unix);
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Ok(Address::Port(socket));
    }
    let bare = ["inet:", "tcp:", "udp:"].iter().find_map(|prefix| text.strip_prefix(prefix));
    let bare = bare.unwrap_or(text);
    let suggestion = if let Ok(socket) = bare.parse::<SocketAddr>() {
        socket.to_string()
    } else if let Ok(port) = bare.parse::<u16>() {
        format!("127.0.0.1:{port}")
    } else if let Ok(ip) = bare.trim_matches(['[', ']']).parse::<IpAddr>() {
        SocketAddr::new(ip, port).to_string()
    } else if text.starts_with('/') && port == PORT {
        format!("unix:{text}")
    } else if let Some(port) = bare.strip_prefix("localhost:") {
        format!("127.0.0.1:{port}")
    } else if let Some(port) = bare.strip_prefix("*:") {
        format!("[::]:{port}")
    } else {
        let sockets = if port == PORT { ", or \"unix:/run/xgrey/postfix.sock\"" } else { "" };
        let help = format!(
            "use an IP address and a port, such as \"127.0.0.1:{port}\" or \"[::1]:{port}\"{sockets}"
        );
        return Err(Mistake::new("not an address to listen on", help));
    };
    Err(Mistake::new("not an address to listen on", format!("use \"{suggestion}\"")))
}

fn socket_path(path: &str) -> Result<PathBuf, Mistake> {
    let what = if path.contains('\0') {
        "a path cannot contain a zero byte".to_owned()
    } else if !path.starts_with('/') {
        "not an absolute path".to_owned()
    } else if path.ends_with('/') {
        "this names a directory".to_owned()
    } else if path.len() > SOCKET_PATH_BYTES_MAX {
        format!("{} bytes; the kernel takes {SOCKET_PATH_BYTES_MAX}", path.len())
    } else {
        return Ok(Path::new(path).components().collect());
    };
    Err(Mistake::new(what, "use a short absolute path, such as \"unix:/run/xgrey/postfix.sock\""))
}

/// Reads permission bits: three or four octal digits.
fn socket_mode(word: &Word<'_>, notes: &mut Notes<'_>) -> Option<u32> {
    let text = *word.get_ref();
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|&mode| octal && mode <= 0o777);
    if mode.is_none() {
        let help = "use octal permission bits, such as \"0660\": owner and group, nobody else";
        notes.mistake("mode", word.span(), Mistake::new("not a file mode", help));
    }
    mode
}

/// Reads `user` or `user:group`.
fn owner(word: &Word<'_>, notes: &mut Notes<'_>, surroundings: &dyn Surroundings) -> Option<Owner> {
    let text = *word.get_ref();
    let (user_name, group_name) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let user = surroundings.user(user_name);
    if user.is_none() {
        let help = "use a user of this machine, such as \"postfix\", or \"postfix:postfix\"";
        let span = notes.part(word, 0..user_name.len());
        let what = format!("there is no user \"{}\"", user_name.escape_debug());
        notes.mistake("owner", span, Mistake::new(what, help));
    }
    let group = group_name.map(|name| (name, surroundings.group(name)));
    if let Some((name, None)) = group {
        let span = notes.part(word, user_name.len() + 1..text.len());
        let what = format!("there is no group \"{}\"", name.escape_debug());
        notes.mistake("owner", span, Mistake::new(what, "use a group of this machine"));
    }
    let group = match group {
        Some((name, number)) => Some((name.to_owned(), number?)),
        None => None,
    };
    Some(Owner { user: (user_name.to_owned(), user?), group })
}

/// Reads the networks of `allow`.
pub(super) fn networks(words: &Words<'_>, notes: &mut Notes<'_>) -> Vec<IpNet> {
    if words.get_ref().is_empty() {
        notes
            .warning(words.span(), "nobody may use this listener")
            .label("no network is allowed")
            .help("add the networks of your mail servers, such as \"192.0.2.0/24\"");
    }
    let mut networks = Vec::with_capacity(words.get_ref().len());
    for word in words.get_ref() {
        match network(word.get_ref()) {
            Ok(network) => {
                if network.prefix_len() == 0 {
                    notes
                        .warning(word.span(), "anybody who can reach this listener may use it")
                        .label("every address there is")
                        .help("allow only the networks of your mail servers");
                }
                networks.push(network);
            }
            Err(mistake) => notes.mistake("allow", word.span(), mistake),
        }
    }
    networks
}

/// Reads `192.0.2.0/24`, `2001:db8::/32` or a single address.
fn network(text: &str) -> Result<IpNet, Mistake> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let help = "use an address or a network, such as \"192.0.2.7\", \"192.0.2.0/24\" or \
                \"2001:db8::/32\"";
    let network: IpNet = text.parse().map_err(|_| Mistake::new("not a network", help))?;
    if let IpNet::V6(v6) = network
        && v6.addr().to_ipv4_mapped().is_some()
    {
        let help = "write IPv4 networks as such: \"192.0.2.0/24\"";
        return Err(Mistake::new("an IPv4 network dressed as IPv6", help));
    }
    if network.addr() != network.network() {
        let help = format!("use \"{}\", or \"{}\" alone", network.trunc(), network.addr());
        return Err(Mistake::new("an address within a network", help));
    }
    Ok(network)
}
