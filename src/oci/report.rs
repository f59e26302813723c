//! Where errors are told: on standard error, and in the file a caller reads.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::error::OciError;

/// The file a caller reads, in the form it reads.
#[derive(Debug, Default)]
pub(super) struct Log {
    file: Option<File>,
    is_json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'a str,
    msg: &'a str,
    time: String,
}

impl Log {
    /// Opens the file, if there is to be one.
    pub(super) fn open(path: Option<&str>, format: Option<&str>) -> Result<Log, OciError> {
        let is_json = match format.unwrap_or("text") {
            "text" => false,
            "json" => true,
            other => {
                return Err(OciError::Usage(format!("there is no log format {other:?}: give text or json")));
            }
        };
        let open = |path: &str| {
            let opened = OpenOptions::new().append(true).create(true).open(path);
            opened.map_err(OciError::file("open the log", Path::new(path)))
        };
        Ok(Log { file: path.filter(|path| !path.is_empty()).map(open).transpose()?, is_json })
    }

    /// Tells of an error.
    pub(super) fn tell(&self, text: &str) {
        // There is nowhere to complain about a lost complaint.
        let _ = writeln!(std::io::stderr(), "dyno-oci: {text}");
        if let Some(file) = &self.file {
            self.write(file, "error", text);
        }
    }

    /// Tells of what does not keep a command from going on: in the file, for callers take words on standard error for a failure's;
    /// there only where there is no file.
    pub(super) fn warn(&self, text: &str) {
        match &self.file {
            Some(file) => self.write(file, "warning", text),
            None => drop(writeln!(std::io::stderr(), "dyno-oci: warning: {text}")),
        }
    }

    fn write(&self, mut file: &File, level: &str, text: &str) {
        let line = Line { level, msg: text, time: jiff::Timestamp::now().to_string() };
        let spelled = if self.is_json {
            serde_json::to_string(&line).unwrap_or_default()
        } else {
            format!("time={:?} level={} msg={:?}", line.time, line.level, line.msg)
        };
        let _ = writeln!(file, "{spelled}");
    }
}
