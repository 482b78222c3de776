//! One mail whose tries reach four mail servers of four kinds, which ask one xgrey: it is the same mail to all.

use crate::exim::{Asks, Exim};
use crate::opensmtpd::OpenSmtpd;
use crate::place::Place;
use crate::postfix::Postfix;
use crate::sendmail::Sendmail;
use crate::server::{Server, Settings};
use crate::world::{Mail, greylist_headers, retry};

#[test]
fn a_mail_tried_at_sendmail_exim_and_postfix_is_known_to_opensmtpd() {
    let place = Place::new();
    let milter = Place::address();
    let tables = format!("[[listen]]\nprotocol = \"milter\"\naddress = \"{milter}\"");
    let settings = Settings { keys: "embargo = \"90s\"", tables: &tables };
    let server = Server::start(&place, settings);
    let policy = server.address();
    let sendmail = Sendmail::start(&place, &format!("inet:{}@{}", milter.port(), milter.ip()));
    let exim = Exim::start(&place, Asks::Policy(policy));
    let postfix = Postfix::start(&place, &server.policy());
    let opensmtpd = OpenSmtpd::start(&place, &policy.to_string(), "");

    // Sendmail has no way to play anybody else: so the client has an address of this host everywhere.
    let mail = Mail::new("127.0.7.7", "alice@example.net", "bob@example.org");
    sendmail.send(&mail).assert_refused("451 4.7.1 ", "try again in 90 seconds");
    server.wait_for_output("defer reason=new", 1);
    exim.send(&mail).assert_refused("451 4.7.1 ", " seconds");
    server.wait_for_output("defer reason=early", 1);

    // The embargo is over when it is a shorter one: nobody has to wait 90 seconds.
    let shorter = Settings { keys: "embargo = \"1s\"", ..settings };
    server.reload(&shorter.text(&policy.to_string()));
    retry(|| postfix.send(&mail), |attempt| attempt.is_taken);
    server.wait_for_output("accept reason=passed", 1);
    let delivered = postfix.delivered(&mail.subject, 1);
    assert_eq!(greylist_headers(&delivered[0]).len(), 1, "{}", delivered[0]);

    opensmtpd.send(&mail).assert_taken();
    server.wait_for_output("accept reason=known", 1);
    let delivered = opensmtpd.delivered(&mail.subject, 1);
    assert!(greylist_headers(&delivered[0]).is_empty(), "{}", delivered[0]);
    let tuples = &server.stats()["tuples"];
    assert_eq!((&tuples["grey"], &tuples["white"]), (&0.into(), &1.into()), "one tuple in all");
}
