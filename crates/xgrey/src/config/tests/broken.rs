//! Broken configurations, and what is said of them: a snapshot a table.

use super::*;

#[test]
fn what_is_not_toml_is_said_once_a_line_and_the_rest_is_still_checked() {
    assert_said!(said(&[
        "embargo = 5m\nwindow = \"6 hours\"",
        "exempt_local = yes",
        "embargo =",
        "embargo \"5m\"",
        "[limits\nconnections = 0",
        "profile = \"default\"\nprofile = \"x-grey\"\nmoed = \"observe\"",
        "exempt_recipients = [\"postmaster@\" \"abuse@\"]",
        "[[listen]]\naddress = \"127.0.0.1:10023\n",
        "[[listen]]\nadress: \"127.0.0.1:10023\"\n",
    ]));
}

#[test]
fn an_unknown_key_is_answered_with_the_one_that_was_meant() {
    assert_said!(said(&[
        "embrago = \"5m\"",
        "exempt-local = false",
        "delay = 300",
        "client_prefix_v4 = 24",
        "colour = \"blue\"",
        "[identity]\nlookup-by-subnet = true",
        "[identity]\nfold = true",
        "[greylist]\nembargo = \"1m\"",
        "[rules.clients]\naccept = []",
        "[rules.client]\nallow = [\"192.0.2.7\"]",
        "[log]\nlevels = { lisen = \"debug\", web = \"info\" }",
    ]));
}

#[test]
fn a_value_of_another_type_is_answered_with_what_is_expected() {
    assert_said!(said(&[
        "embargo = 60",
        "memory = true",
        "memory = 99999999999999999999",
        "exempt_local = \"no\"",
        "exempt_recipients = \"postmaster@\"",
        "exempt_recipients = [1, \"abuse@\"]",
        "mode = true",
        "identity = []",
        "listen = \"127.0.0.1:10023\"",
        "[listen]\naddress = \"127.0.0.1:10023\"",
        "[reply]\ndefer_code = \"450\"",
        "[limits]\nthreads = 1.5",
        "[log]\nlevels = \"debug\"\n",
        "[log]\nlevels = { listen = 3 }\n",
        "lifetime = 2026-01-01",
    ]));
}

#[test]
fn times_sizes_and_words_are_answered_with_how_to_write_them() {
    assert_said!(said(&[
        "embargo = \"5 mins\"\nwindow = \"soon\"\nlifetime = \"99999999d\"",
        "embargo = \"6h\"",
        "window = \"1m\"",
        "embargo = \"10m\"\nwindow = \"5m\"",
        "embargo = \"0s\"",
        "embargo = \"25m\"",
        "profile = \"xgrey\"",
        "profile = \"strict\"",
        "mode = \"dry-run\"",
        "memory = \"plenty\"",
        "memory = \"64KiB\"",
        "capacity = 5",
        "memory = \"25GiB\"",
        "capacity = 2_800_000_000",
        "memory = \"23GiB\"",
        "memory = \"1GiB\"\ncapacity = 100_000_000",
        "[store]\nsync = \"sometimes\"\nsegment_bytes = \"4KiB\"\ntext_bytes = \"2TiB\"",
        "[store]\nsync = \"2h\"\nsnapshot_after = \"64KiB\"",
        "[store]\nsync = \"1 second\"",
        "[identity]\nclient_prefix_v4 = 33\nclient_prefix_v6 = 0",
        "[limits]\nthreads = -1\nconnections = 0\nrequest_bytes = \"16 KB\"\nidle_timeout = \"1m\"\ndrain_timeout = \"2h\"",
        "[log]\nlevel = \"warning\"\nformat = \"logfmt\"\ndecision_file = \"\"\nlevels = { store = \"loud\" }",
    ]));
}

#[test]
fn a_listener_is_refused_with_what_it_needs() {
    let long_path = format!("[[listen]]\naddress = \"unix:/{}\"", "x".repeat(107));
    assert_said!(said(&[
        "listen = []",
        "[[listen]]\nprotocol = \"postfix\"",
        "[[listen]]\nprotocol = \"smtp\"\naddress = \"[::1]:10023\"",
        "[[listen]]\naddress = \"0.0.0.0:10023\"",
        "[[listen]]\naddress = \"localhost:10023\"\n[[listen]]\naddress = \"inet:[::1]:10023\"\n[[listen]]\naddress = \"10023\"\n[[listen]]\naddress = \"192.0.2.1\"\n[[listen]]\naddress = \"/run/xgrey.sock\"\n[[listen]]\naddress = \"*:10023\"\n[[listen]]\naddress = \"mail.example.net:10023\"",
        "[[listen]]\naddress = \"192.0.2.1:10023\"\nallow = [\"192.0.2.7/24\", \"mail.example.net\", \"::ffff:192.0.2.0/120\"]",
        "[[listen]]\naddress = \"192.0.2.1:10023\"\nallow = []",
        "[[listen]]\naddress = \"192.0.2.1:10023\"\nallow = [\"0.0.0.0/0\"]",
        "[[listen]]\naddress = \"127.0.0.1:10023\"\nmode = \"0660\"\nowner = \"postfix\"",
        "[[listen]]\naddress = \"unix:/run/xgrey/postfix.sock\"\nmode = \"rw-rw----\"\nowner = \"postfxi:mail\"\nallow = [\"192.0.2.0/24\"]",
        "[[listen]]\naddress = \"unix:postfix.sock\"\nmode = 0o660",
        &long_path,
        "[[listen]]\naddress = \"127.0.0.1:10023\"\n[[listen]]\naddress = \"[::1]:10023\"\n[[listen]]\naddress = \"127.0.0.1:10023\"",
        "[[listen]]\naddress = \"0.0.0.0:10023\"\nallow = [\"192.0.2.0/24\"]\n[[listen]]\naddress = \"127.0.0.1:10023\"",
        "[[listen]]\naddress = \"unix:/run/xgrey/a\"\n[[listen]]\naddress = \"unix:/run//xgrey/./a\"",
    ]));
}

#[test]
fn a_listener_for_x_grey_is_refused_with_what_it_needs() {
    let long_secret =
        format!("[[listen]]\nprotocol = \"x-grey\"\nsecret = \"{}\"", "x".repeat(256));
    let many = "[[listen]]\nprotocol = \"x-grey\"\naddress = \"[::1]:0\"\n".repeat(17);
    assert_said!(said(&[
        "[[listen]]\nprotocol = \"xgrey\"",
        "[[listen]]\nprotocol = \"x-grey\"\naddress = \"0.0.0.0:9990\"",
        "[[listen]]\nprotocol = \"x-grey\"\naddress = \"unix:/run/xgrey/x-grey.sock\"\nmode = \"0660\"",
        "[[listen]]\nprotocol = \"x-grey\"\naddress = \"udp:127.0.0.1:9990\"\n[[listen]]\nprotocol = \"x-grey\"\naddress = \"192.0.2.1\"\n[[listen]]\nprotocol = \"x-grey\"\naddress = \"mail.example.net\"",
        "[[listen]]\nprotocol = \"x-grey\"\naddress = 9990",
        "[[listen]]\nprotocol = \"x-grey\"\nsecret = \"\"\nchanges = \"yes\"",
        "[[listen]]\nprotocol = \"x-grey\"\nsecret = \"a\\u0000b\"\nchanges = true",
        &long_secret,
        "[[listen]]\naddress = \"127.0.0.1:10023\"\nsecret = \"tea\"\nchanges = \"on\"",
        "[[listen]]\nprotocol = \"x-grey\"\naddress = \"192.0.2.1:9990\"\nallow = [\"192.0.2.0/24\"]\nchanges = \"on\"",
        "[[listen]]\nprotocol = \"x-grey\"\n[[listen]]\nprotocol = \"x-grey\"\n[[listen]]\naddress = \"127.0.0.1:9990\"",
        &many,
    ]));
}

#[test]
fn a_reply_is_refused_where_it_is_wrong() {
    assert_said!(said(&[
        "[reply]\ndefer_code = 550\nreject_code = 99999",
        "[reply]\ndefer_enhanced = \"4.7\"\nreject_enhanced = \"4.7.1\"",
        "[reply]\ndefer_text = \"Wait {wiat}\"\nreject_text = \"No {\"\nheader = \"a\\nb\"",
        "[reply]\nhelp_url = \"https://example.org/{help}\"\ndefer_text = \"See {help}\"",
        &format!("[reply]\ndefer_text = \"{}\"", "x".repeat(401)),
    ]));
}

#[test]
fn a_rule_is_refused_where_it_is_wrong_and_a_replaced_one_is_named() {
    assert_said!(said(&[
        "exempt_recipients = [\"postmaster\", \"abuse@\"]",
        "[rules.client]\ndefault = \"drop\"\naccept = [\"mail.example.net\", \"192.0.2.0/33\"]",
        "[rules.client_name]\nreject = [\"/dyn[/\"]",
        "[rules.sender]\ngreylist = [\"example.net\", \"alice@example.net\"]",
        "[rules]\nopt_out = [\"bob@example.org\", \"@example.net\"]",
        "[rules]\nopt_in = []",
        "[rules]\nopt_in = [\"example.org\"]\n[rules.recipient_domain]\ndefault = \"greylist\"",
        "[rules.client]\naccept = [\"192.0.2.0/24\"]\nreject = [\n  \"198.51.100.0/24\",\n  \"192.0.2.0/24\",\n]",
    ]));
}

#[test]
fn a_listener_for_http_is_refused_with_what_it_needs() {
    assert_said!(said(&[
        "[[listen]]\nprotocol = \"http\"\naddress = \"192.0.2.25:9991\"\nallow = [\"192.0.2.0/24\"]",
        "[[listen]]\nprotocol = \"http\"\naddress = \"0.0.0.0:9991\"",
        "[[listen]]\nprotocol = \"http\"\ntoken_file = \"no-such.token\"",
        "[[listen]]\nprotocol = \"http\"\ntoken_file = \"\"\nsecret = \"decafbad\"\nchanges = \"on\"",
        "[[listen]]\nprotocol = \"http\"\naddress = \"localhost:9991\"\nmode = \"0660\"",
        "[[listen]]\nprotocol = \"http\"\nmode = \"0660\"",
        "[[listen]]\naddress = \"127.0.0.1:10023\"\ntoken_file = \"http.token\"",
        "[[listen]]\nprotocol = \"x-grey\"\ntoken_file = \"http.token\"",
        "[[listen]]\nprotocol = \"http\"\n[[listen]]\naddress = \"127.0.0.1:9991\"",
    ]));
}
