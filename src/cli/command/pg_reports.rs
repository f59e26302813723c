//! `dyno pg:table-size`, `pg:unused-indexes` and others that show one table of a database's own figures: each is an act of its service.

use std::process::ExitCode;

use crate::cli::Context;
use crate::cli::command::data_service;
use crate::cli::command::pg::DatabaseArgs;
use crate::cli::failure::Failure;

/// A command for each act, with nothing to be said but which database is meant.
macro_rules! reports {
    ($($(#[$about:meta])* $name:ident: $act:literal;)*) => {
        $(
            $(#[$about])*
            #[derive(Debug, clap::Args)]
            pub(in crate::cli) struct $name {
                #[command(flatten)]
                database: DatabaseArgs,
            }

            impl $name {
                pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
                    data_service::tell(context, &self.database.find(context).await?, ($act, vec![])).await
                }
            }
        )*
    };
}

reports! {
    /// Show which queries of a database wait for which others
    Blocking: "blocking";
    /// Show how much of what was read of a database was in memory
    CacheHit: "cache-hit";
    /// Show the ten queries of a database that were run most often
    Calls: "calls";
    /// Show which extensions a database may have, and has
    Extensions: "extensions";
    /// Show how large each index of a database is
    IndexSize: "index-size";
    /// Show how much of each table of a database is found by indexes
    IndexUsage: "index-usage";
    /// Show which locks the queries of a database hold, and wait for
    Locks: "locks";
    /// Show the queries of a database that have been running for five minutes
    LongRunningQueries: "long-running-queries";
    /// Show the ten queries of a database that took most time in all
    Outliers: "outliers";
    /// Show how many rows each table of a database has
    RecordsRank: "records-rank";
    /// Show how often each table of a database was read from end to end
    SeqScans: "seq-scans";
    /// Have a database count its figures anew
    StatsReset: "stats-reset";
    /// Show how large the indexes of each table of a database are
    TableIndexesSize: "table-indexes-size";
    /// Show how large each table of a database is without its indexes
    TableSize: "table-size";
    /// Show how large all indexes of a database are
    TotalIndexSize: "total-index-size";
    /// Show how large each table of a database is with its indexes
    TotalTableSize: "total-table-size";
    /// Show the indexes of a database that are hardly ever read
    UnusedIndexes: "unused-indexes";
    /// Show how many connections each role has to a database
    UserConnections: "user-connections";
    /// Show how many dead rows each table of a database has
    VacuumStats: "vacuum-stats";
}
