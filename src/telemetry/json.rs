//! Lines of the application log: as JSON in the form that `tracing-subscriber` gives them, but written as they are
//! recorded, or as text. The lines of a request name its RequestId.

use std::cell::RefCell;
use std::fmt::{self, Debug, Write};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::current;

/// The format of one JSON object a line, with the fields of the event beside its time, level and target, and the request in
/// `span`.
pub struct JsonLines;

/// The format of text for people.
pub struct TextLines(pub Format);

impl<S, F> FormatEvent<S, F> for JsonLines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    F: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, F>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        thread_local! {
            static LINE: RefCell<String> = const { RefCell::new(String::new()) };
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            put_event(line, event);
            writer.write_str(line)
        })
    }
}

fn put_event(line: &mut String, event: &Event<'_>) {
    // What libraries say by way of the crate `log` has its target and level in its fields.
    let normalized = event.normalized_metadata();
    let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
    line.push_str("{\"timestamp\":\"");
    put_time(line, OffsetDateTime::now_utc());
    line.push_str("\",\"level\":\"");
    line.push_str(metadata.level().as_str());
    line.push('"');
    event.record(&mut Fields(line));
    line.push_str(",\"target\":");
    put_string(line, metadata.target());
    if let Some(request_id) = current::request_id() {
        line.push_str(",\"span\":{\"request_id\":");
        put_string(line, request_id.as_str());
        line.push_str(",\"name\":\"request\"}");
    }
    line.push_str("}\n");
}

/// Writes the time in UTC, to the microsecond. Most lines differ from the line before in the end of their time alone.
fn put_time(line: &mut String, time: OffsetDateTime) {
    thread_local! {
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != time.unix_timestamp() {
            let whole = time.truncate_to_second().format(&Rfc3339);
            *second = time.unix_timestamp();
            *text = whole.unwrap_or_default();
        }
        line.push_str(text.trim_end_matches('Z'));
    });
    line.push('.');
    let microsecond = time.microsecond();
    let mut digit = 100_000;
    while digit > 0 {
        let value = u8::try_from(microsecond / digit % 10).unwrap_or_default();
        line.push(char::from(b'0' + value));
        digit /= 10;
    }
    line.push('Z');
}

impl<S, F> FormatEvent<S, F> for TextLines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    F: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, F>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(request_id) = current::request_id() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        writeln!(writer, "{} request_id={request_id}", line.trim_end())
    }
}

/// A visitor that writes fields, each with a comma before it.
struct Fields<'line>(&'line mut String);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut String)) {
        let name = field.name();
        if name.starts_with("log.") {
            return;
        }
        self.0.push(',');
        put_string(self.0, name.strip_prefix("r#").unwrap_or(name));
        self.0.push(':');
        value(self.0);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, |line| {
            if value.is_finite() {
                let _ = write!(line, "{value:?}");
            } else {
                line.push_str("null");
            }
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, |line| {
            line.push_str(itoa::Buffer::new().format(value));
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |line| {
            line.push_str(itoa::Buffer::new().format(value));
        });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, |line| {
            line.push_str(if value { "true" } else { "false" });
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |line| put_string(line, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, |line| {
            line.push('"');
            let _ = write!(Escaped(line), "{value:?}");
            line.push('"');
        });
    }
}

fn put_string(line: &mut String, text: &str) {
    line.push('"');
    put_escaped(line, text);
    line.push('"');
}

/// A writer of text as the inside of a JSON string.
struct Escaped<'line>(&'line mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        put_escaped(self.0, text);
        Ok(())
    }
}

fn put_escaped(line: &mut String, text: &str) {
    // All that has to be escaped is ASCII, and no byte of another character looks like it.
    let special = |byte| byte == b'"' || byte == b'\\' || byte < 0x20;
    // Without a way out, this takes 16 bytes at a time, and hardly any text has one.
    if !text.bytes().fold(false, |any, byte| any | special(byte)) {
        return line.push_str(text);
    }
    let mut rest = text;
    while let Some(end) = rest.bytes().position(special) {
        line.push_str(&rest[..end]);
        match rest.as_bytes()[end] {
            b'"' => line.push_str("\\\""),
            b'\\' => line.push_str("\\\\"),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            byte => {
                let _ = write!(line, "\\u{byte:04x}");
            }
        }
        rest = &rest[end + 1..];
    }
    line.push_str(rest);
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tracing_subscriber::Registry;
    use tracing_subscriber::fmt::format::DefaultFields;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::domain::RequestId;

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

    /// What `work` logs.
    fn written<F>(format: F, work: impl FnOnce()) -> String
    where
        F: FormatEvent<Registry, DefaultFields> + Send + Sync + 'static,
    {
        let output = Output::default();
        let writer = output.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(format);
        tracing::subscriber::with_default(Registry::default().with(lines), work);
        String::from_utf8(output.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines that `work` logs, without their times.
    fn lines(work: impl FnOnce()) -> Vec<Value> {
        let text = written(JsonLines, work);
        let line = |line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
            assert!(OffsetDateTime::parse(time.as_str().unwrap(), &Rfc3339).is_ok());
            line
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn a_line_has_its_fields_and_its_request() {
        let request_id = RequestId::parse("ABABABAB-ABAB-4BAB-ABAB-ABABABABABAB").unwrap();
        let lines = lines(|| {
            tracing::info!(n = 1_u64);
            let work = async {
                tracing::warn!(r#type = ?Some("x"), flag = true, ratio = 0.5, nothing = f64::NAN, count = -1, "said \"so\"");
            };
            let work = current::Current::new(request_id, Instant::now()).run(work);
            work.now_or_never().unwrap();
        });
        let target = module_path!();
        let span = json!({"request_id": request_id.as_str(), "name": "request"});
        let expected = [
            json!({"level": "INFO", "n": 1, "target": target}),
            json!({"level": "WARN", "message": "said \"so\"", "type": "Some(\"x\")", "flag": true, "ratio": 0.5,
                "nothing": null, "count": -1, "target": target, "span": span}),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_text_line_names_its_request() {
        let request_id = RequestId::parse("ABABABAB-ABAB-4BAB-ABAB-ABABABABABAB").unwrap();
        let text = written(TextLines(Format::default().with_ansi(false)), || {
            tracing::info!("alone");
            let work = async { tracing::info!(n = 1, "within") };
            let work = current::Current::new(request_id, Instant::now()).run(work);
            work.now_or_never().unwrap();
        });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with(": alone"), "{text}");
        let end = format!(": within n=1 request_id={request_id}");
        assert!(lines[1].ends_with(&end) && lines.len() == 2, "{text}");
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            let mut written = String::new();
            put_string(&mut written, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }

        #[test]
        fn every_time_comes_back_to_the_microsecond(microseconds in 0..253_402_300_800_000_000_i128) {
            let time = OffsetDateTime::from_unix_timestamp_nanos(microseconds * 1000 + 999).unwrap();
            let mut written = String::new();
            put_time(&mut written, time);
            let read = OffsetDateTime::parse(&written, &Rfc3339).unwrap();
            prop_assert_eq!(read.unix_timestamp_nanos(), microseconds * 1000);
        }
    }
}
