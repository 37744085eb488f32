//! Lines of the log as JSON: the form that `tracing-subscriber` gives them, but written as they are recorded. Its own
//! formatter reads the fields of the span back from JSON for each line, which was a tenth of what a request costs.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// One object a line, with the fields of the event beside its time, level and target, and the current span within it.
pub struct JsonLines;

/// The fields of a span as they stand in a line, each with a comma before it.
pub struct JsonFields;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // What libraries say by way of the crate `log` has its target and level in its fields.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        line.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut line)?;
        write!(line, "\",\"level\":\"{}\"", metadata.level().as_str())?;
        let mut fields = Fields::to(&mut line);
        event.record(&mut fields);
        fields.written?;
        line.write_str(",\"target\":")?;
        string(&mut line, metadata.target())?;
        let parent = event.parent().and_then(|id| context.span(id));
        if let Some(span) = parent.or_else(|| context.lookup_current()) {
            line.write_str(",\"span\":{")?;
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>()
                && let Some(fields) = fields.fields.strip_prefix(',')
            {
                line.write_str(fields)?;
                line.write_char(',')?;
            }
            line.write_str("\"name\":")?;
            string(&mut line, span.name())?;
            line.write_char('}')?;
        }
        line.write_str("}\n")
    }
}

impl<'writer> FormatFields<'writer> for JsonFields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut visitor = Fields::to(&mut writer);
        fields.record(&mut visitor);
        visitor.written
    }
}

/// Writes fields, each with a comma before it.
struct Fields<'writer> {
    writer: &'writer mut dyn Write,
    written: fmt::Result,
}

impl<'writer> Fields<'writer> {
    fn to(writer: &'writer mut dyn Write) -> Self {
        let written = Ok(());
        Self { writer, written }
    }

    fn put(&mut self, field: &Field, value: impl FnOnce(&mut dyn Write) -> fmt::Result) {
        let name = field.name();
        if self.written.is_err() || name.starts_with("log.") {
            return;
        }
        self.written = (|| {
            self.writer.write_char(',')?;
            string(self.writer, name.strip_prefix("r#").unwrap_or(name))?;
            self.writer.write_char(':')?;
            value(self.writer)
        })();
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, |writer| {
            if value.is_finite() {
                write!(writer, "{value:?}")
            } else {
                writer.write_str("null")
            }
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, |writer| write!(writer, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |writer| string(writer, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, |writer| {
            writer.write_char('"')?;
            write!(Escaped(writer), "{value:?}")?;
            writer.write_char('"')
        });
    }
}

fn string(writer: &mut dyn Write, text: &str) -> fmt::Result {
    writer.write_char('"')?;
    Escaped(writer).write_str(text)?;
    writer.write_char('"')
}

/// Writes text as the inside of a JSON string.
struct Escaped<'writer>(&'writer mut dyn Write);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // All that has to be escaped is ASCII, and no byte of another character looks like it.
        let special = |byte| byte == b'"' || byte == b'\\' || byte < 0x20;
        // Without a way out, this takes 16 bytes at a time, and hardly any text has one.
        if !text.bytes().fold(false, |any, byte| any | special(byte)) {
            return self.0.write_str(text);
        }
        let mut rest = text;
        while let Some(place) = rest.bytes().position(special) {
            self.0.write_str(&rest[..place])?;
            match rest.as_bytes()[place] {
                b'"' => self.0.write_str("\\\"")?,
                b'\\' => self.0.write_str("\\\\")?,
                b'\n' => self.0.write_str("\\n")?,
                b'\r' => self.0.write_str("\\r")?,
                b'\t' => self.0.write_str("\\t")?,
                byte => write!(self.0, "\\u{byte:04x}")?,
            }
            rest = &rest[place + 1..];
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use serde_json::{Value, json};
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` logs, without their times.
    fn lines(work: impl FnOnce()) -> Vec<Value> {
        let output = Output::default();
        let writer = output.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields)
            .event_format(JsonLines)
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        let line = |line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
            assert!(OffsetDateTime::parse(time.as_str().unwrap(), &Rfc3339).is_ok());
            line
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn a_line_has_its_fields_and_its_span() {
        let lines = lines(|| {
            let span = tracing::info_span!("request", id = "A1", later = tracing::field::Empty);
            tracing::info!(n = 1_u64);
            span.record("later", 7);
            let _entered = span.enter();
            tracing::warn!(r#type = ?Some("x"), flag = true, ratio = 0.5, nothing = f64::NAN, count = -1, "said \"so\"");
        });
        let target = module_path!();
        let expected = [
            json!({"level": "INFO", "n": 1, "target": target}),
            json!({"level": "WARN", "message": "said \"so\"", "type": "Some(\"x\")", "flag": true, "ratio": 0.5,
                "nothing": null, "count": -1, "target": target, "span": {"id": "A1", "later": 7, "name": "request"}}),
        ];
        assert_eq!(lines, expected);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            let mut written = String::new();
            string(&mut written, &text).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
