//! A picture of a report: throughput and p99 against the requests in flight, as SVG that is readable on light and dark.

use std::fmt::Write as _;

use serde_json::Value;

/// The inner size of a panel.
const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 240.0;
/// The positions of the panels' left edges.
const LEFT: [f64; 2] = [70.0, 490.0];
const BOTTOM: f64 = 290.0;

/// The colours of the servers, told apart by those who do not see red or green, and on both backgrounds.
const COLOURS: [&str; 5] = ["#3b82f6", "#8a8f98", "#e07b00", "#0f9d76", "#c053c0"];

const STYLE: &str = "text{font:12px sans-serif;fill:#333}.title{font-weight:bold}\
.grid{stroke:#ccc;stroke-width:1}.line{fill:none;stroke-width:2}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#444}}";

/// The points of one server.
struct Line {
    name: String,
    throughput: Vec<(f64, f64)>,
    p99: Vec<(f64, f64)>,
}

/// The points of a line that a panel shows.
type Points = fn(&Line) -> &Vec<(f64, f64)>;

/// An axis, which maps values to positions from 0 to 1.
struct Axis {
    ticks: Vec<f64>,
    is_logarithmic: bool,
}

/// Draws the first scenarios of the report that differ in the requests in flight alone; `None` where there is no such
/// series.
pub fn draw(report: &Value) -> Option<String> {
    let scenarios = report["scenarios"].as_array()?;
    let name = scenarios.iter().find_map(|scenario| {
        let name = scenario["name"].as_str()?;
        let of_name = scenarios.iter().filter(|other| other["name"] == name);
        (of_name.count() > 1).then_some(name)
    })?;
    let mut lines: Vec<Line> = Vec::new();
    for scenario in scenarios.iter().filter(|scenario| scenario["name"] == name) {
        let in_flight = scenario["in_flight"].as_f64()?;
        for server in scenario["servers"].as_array()? {
            let name = server["name"].as_str()?;
            let throughput = (in_flight, server["requests_per_second"].as_f64()?);
            let p99 = (in_flight, server["latency_ms"]["p99"].as_f64()?);
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => {
                    line.throughput.push(throughput);
                    line.p99.push(p99);
                }
                None => lines.push(Line {
                    name: name.to_owned(),
                    throughput: vec![throughput],
                    p99: vec![p99],
                }),
            }
        }
    }
    Some(picture(name, &lines))
}

fn picture(name: &str, lines: &[Line]) -> String {
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 850 370" role="img"><title>{name}: throughput and p99 against requests in flight</title><style>{STYLE}</style>"#
    );
    let panels: [(&str, Points, bool); 2] = [
        ("requests a second", |line| &line.throughput, false),
        ("p99 in ms", |line| &line.p99, true),
    ];
    for ((title, points, is_logarithmic), left) in panels.into_iter().zip(LEFT) {
        let all = || lines.iter().flat_map(points);
        let x = Axis::logarithmic(all().map(|point| point.0), 8.0);
        let values = all().map(|point| point.1);
        let y = if is_logarithmic {
            Axis::logarithmic(values, 10.0)
        } else {
            Axis::linear(values.fold(0.0, f64::max))
        };
        panel(&mut svg, left, &format!("{name}: {title}"), &x, &y);
        for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
            let mut polyline = String::new();
            for &(count, value) in points(line) {
                let (x, y) = (
                    left + x.position_of(count) * WIDTH,
                    BOTTOM - y.position_of(value) * HEIGHT,
                );
                let _ = write!(polyline, "{x:.1},{y:.1} ");
                let _ = write!(
                    svg,
                    r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#
                );
            }
            let polyline = polyline.trim_end();
            let _ = write!(
                svg,
                r#"<polyline class="line" stroke="{colour}" points="{polyline}"/>"#
            );
        }
    }
    let mut x = LEFT[0];
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let name = &line.name;
        let _ = write!(
            svg,
            r#"<rect x="{x}" y="346" width="18" height="4" fill="{colour}"/><text x="{}" y="353">{name}</text>"#,
            x + 24.0
        );
        x += 150.0;
    }
    svg + "</svg>\n"
}

/// The title, the grid and the numbers of a panel.
fn panel(svg: &mut String, left: f64, title: &str, x: &Axis, y: &Axis) {
    let (right, top) = (left + WIDTH, BOTTOM - HEIGHT);
    let _ = write!(
        svg,
        r#"<text class="title" x="{left}" y="{}">{title}</text>"#,
        top - 18.0
    );
    for &tick in &y.ticks {
        let at = BOTTOM - y.position_of(tick) * HEIGHT;
        let _ = write!(
            svg,
            r#"<path class="grid" d="M{left} {at:.1}H{right}"/><text x="{}" y="{:.1}" text-anchor="end">{tick}</text>"#,
            left - 8.0,
            at + 4.0
        );
    }
    for &tick in &x.ticks {
        let at = left + x.position_of(tick) * WIDTH;
        let _ = write!(
            svg,
            r#"<path class="grid" d="M{at:.1} {top}V{BOTTOM}"/><text x="{at:.1}" y="{}" text-anchor="middle">{tick}</text>"#,
            BOTTOM + 18.0
        );
    }
    let _ = write!(
        svg,
        r#"<text x="{}" y="{}" text-anchor="middle">requests in flight</text>"#,
        left + WIDTH / 2.0,
        BOTTOM + 36.0
    );
}

impl Axis {
    /// An axis from 0 to a round number, in steps that are round too.
    fn linear(largest: f64) -> Self {
        let power = 10_f64.powf((largest / 4.0).log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * power);
        let step = steps.into_iter().find(|step| step * 5.0 >= largest);
        let step = step.unwrap_or(largest);
        let ticks = (0..6).map(|number| f64::from(number) * step).collect();
        Self {
            ticks,
            is_logarithmic: false,
        }
    }

    /// An axis over the powers of a base that enclose the values.
    fn logarithmic(values: impl Iterator<Item = f64>, base: f64) -> Self {
        let (least, most) = values.fold(
            (f64::INFINITY, f64::MIN_POSITIVE),
            |(least, most), value| (least.min(value), most.max(value)),
        );
        let mut tick = base.powf(least.log(base).floor());
        let mut ticks = vec![tick];
        while tick < most {
            tick *= base;
            // Powers of ten below 1 are no exact numbers, and are to look as such.
            ticks.push((tick * 1000.0).round() / 1000.0);
        }
        Self {
            ticks,
            is_logarithmic: true,
        }
    }

    fn position_of(&self, value: f64) -> f64 {
        let scale = |value: f64| {
            if self.is_logarithmic {
                value.ln()
            } else {
                value
            }
        };
        let (first, last) = (self.ticks[0], self.ticks[self.ticks.len() - 1]);
        (scale(value) - scale(first)) / (scale(last) - scale(first))
    }
}
