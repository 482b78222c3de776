//! The texts that a sender gets to see: reply codes, enhanced codes, templates.
