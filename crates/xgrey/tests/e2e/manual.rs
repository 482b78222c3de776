//! What the manual tells an admin to paste, taken from the manual: what is tested is what is
//! printed.

/// Where the manual's examples say that xgrey listens.
pub(crate) const LISTENER: &str = "127.0.0.1:10023";

/// Where the manual's examples say that xgrey listens for milters.
pub(crate) const MILTER: &str = "127.0.0.1:9992";

/// The manual's page about Sendmail.
pub(crate) const SENDMAIL: &str = include_str!("../../../../docs/mta/sendmail.md");

/// The manual's page about Postfix.
pub(crate) const POSTFIX: &str = include_str!("../../../../docs/mta/postfix.md");

/// The manual's page about Exim.
pub(crate) const EXIM: &str = include_str!("../../../../docs/mta/exim.md");

/// The manual's page about OpenSMTPD.
pub(crate) const OPENSMTPD: &str = include_str!("../../../../docs/mta/opensmtpd.md");

/// The manual's page for those who come from X-Grey.
pub(crate) const X_GREY: &str = include_str!("../../../../docs/x-grey.md");

/// The manual's page about asking from scripts.
pub(crate) const CHECK: &str = include_str!("../../../../docs/check.md");

/// The manual's page about HTTP.
pub(crate) const HTTP: &str = include_str!("../../../../docs/http.md");

/// The manual's page about Stalwart.
pub(crate) const STALWART: &str = include_str!("../../../../docs/mta/stalwart.md");

/// The first block of code in a page with `needle` in it.
pub(crate) fn block<'a>(page: &'a str, needle: &str) -> &'a str {
    // Every other piece between fences is code.
    let mut blocks = page.split("\n```").skip(1).step_by(2);
    let block = blocks.find(|block| block.contains(needle));
    // The rest of the fence's own line may name a language.
    block.and_then(|block| block.split_once('\n')).expect("the manual has the example").1
}
