use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::evidence::{Kind, read_record};
use crate::facts::Timestamp;
use crate::formats::{write_zeek_conn_header, write_zeek_http_header};
use crate::parse::Section;
use crate::sinks::Receiver;

use super::whole::Whole;
use super::{Exported, Exporting, Filter, Form};

/// As a table says them.
const FORMS: [(&str, Form); 3] = [("squid", Form::Squid), ("zeek", Form::Zeek), ("zeek-conn", Form::ZeekConn)];

/// A file that goes on with the journal, in the form of another program's log; a table `[streams.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSettings {
    pub name: String,
    pub file: PathBuf,
    pub form: Form,
}

impl StreamSettings {
    /// Reads the tables, at most eight.
    pub fn read_all(root: &mut Section<'_, '_>) -> Vec<Self> {
        Receiver::read_tables(root, "streams", |name, section| {
            Receiver::check_name(name, section);
            let form = section.word("format", &FORMS);
            let file = section.string("file").filter(|file| !file.value.is_empty());
            if file.is_none() || !section.has("format") {
                let what = format!("which file `{}` is, and in which format, is not said", name.value);
                let fix =
                    "write file = \"/var/log/sekisho/access.log\" and format = \"squid\" (or \"zeek\", \"zeek-conn\")";
                section.problem(&name.place, what, fix);
            }
            Some(Self { name: name.value.clone(), file: file?.value.into(), form: form? })
        })
    }
}

/// Exchanges as they end, from the lines of a journal that is written.
#[derive(Debug)]
pub struct Stream {
    form: Form,
    open: BTreeMap<u64, Whole>,
}

impl Stream {
    pub fn new(form: Form) -> Self {
        Self { form, open: BTreeMap::new() }
    }

    /// What stands at the beginning of a file.
    pub fn begin(&self, into: &mut Vec<u8>) {
        match self.form {
            Form::Zeek => write_zeek_http_header(into),
            Form::ZeekConn => write_zeek_conn_header(into),
            Form::Lines | Form::Csv | Form::Squid => {}
        }
    }

    /// Takes a line of the journal, and appends the exchange that ends with it. Returns the number of its record, where it is
    /// one of an exchange that began then or later.
    pub fn read(&mut self, line: &[u8], since: Timestamp, into: &mut Vec<u8>) -> Option<u64> {
        let record = read_record(line).ok().filter(|record| record.kind == Kind::Exchange && record.time >= since)?;
        self.with(into, |exporting, open| exporting.record(&record, open));
        Some(record.seq)
    }

    /// Appends what began before and has no end: whoever had it open has ended without a word.
    pub fn end_before(&mut self, time: Timestamp, into: &mut Vec<u8>) {
        let left: Vec<_> = self.open.extract_if(.., |_, whole| whole.time < time).map(|(_, whole)| whole).collect();
        self.with(into, |exporting, _| left.iter().try_for_each(|whole| exporting.unfinished(whole)));
    }

    /// The number of the first record of what is open.
    pub fn oldest(&self) -> Option<u64> {
        self.open.values().map(Whole::seq).min()
    }

    fn with(
        &mut self,
        into: &mut Vec<u8>,
        work: impl FnOnce(&mut Exporting<'_, Vec<u8>>, &mut BTreeMap<u64, Whole>) -> Result<(), super::ExportError>,
    ) {
        let filter = Filter::default();
        let mut exporting =
            Exporting { form: self.form, filter: &filter, out: into, text: Vec::new(), exported: Exported::default() };
        // Memory takes whatever is written to it.
        let _ = work(&mut exporting, &mut self.open).and_then(|()| exporting.flush(0));
    }
}
