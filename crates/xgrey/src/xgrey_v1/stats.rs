//! What was counted, as X-Grey's clients get it: in 32 bits a number (X-Grey v1.1 protocol, sections 4 and 5.4).

use wire::xgrey_v1::Stats;

use crate::metrics::XGreyStats;

/// The same numbers; of one that is too large, the largest that can be said.
pub(super) fn on_the_wire(counted: &XGreyStats) -> Stats {
    let cut = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Stats {
        starttime: cut(counted.starttime),
        nowtime: cut(counted.nowtime),
        tuples: cut(counted.tuples),
        ips: cut(counted.ips),
        ip_greylist: cut(counted.ip_greylist),
        ip_accept: cut(counted.ip_accept),
        ip_reject: cut(counted.ip_reject),
        greylisted: cut(counted.greylisted),
        whitelisted: cut(counted.whitelisted),
        greylist_expired: cut(counted.greylist_expired),
        whitelist_expired: cut(counted.whitelist_expired),
        requests: cut(counted.requests),
        requests_cu: cut(counted.requests_cu),
        requests_cu_max: cut(counted.requests_cu_max),
        requests_cu_ave: cut(counted.requests_cu_ave),
        from: cut(counted.from),
        from_greylist: cut(counted.from_greylist),
        from_accept: cut(counted.from_accept),
        from_reject: cut(counted.from_reject),
        fromd: cut(counted.fromd),
        fromd_greylist: cut(counted.fromd_greylist),
        fromd_accept: cut(counted.fromd_accept),
        fromd_reject: cut(counted.fromd_reject),
        to: cut(counted.to),
        to_greylist: cut(counted.to_greylist),
        to_accept: cut(counted.to_accept),
        to_reject: cut(counted.to_reject),
        tod: cut(counted.tod),
        tod_greylist: cut(counted.tod_greylist),
        tod_accept: cut(counted.tod_accept),
        tod_reject: cut(counted.tod_reject),
        tuples_read: cut(counted.tuples_read),
        tuples_read_cu: cut(counted.tuples_read_cu),
        tuples_read_cu_max: cut(counted.tuples_read_cu_max),
        tuples_read_cu_ave: cut(counted.tuples_read_cu_ave),
        tuples_write: cut(counted.tuples_write),
        tuples_write_cu: cut(counted.tuples_write_cu),
        tuples_write_cu_max: cut(counted.tuples_write_cu_max),
        tuples_write_cu_ave: cut(counted.tuples_write_cu_ave),
        tuples_low: cut(counted.tuples_low),
        tuples_high: cut(counted.tuples_high),
    }
}
