//! What came out, for people and for programs: a table, a chart, raw lines, and `summary.json`.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use plotters::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{goals::Row, target::RAISED};

/// A part of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Panel {
    /// CPU of a delivery by rate.
    Cost,
    /// Latency by rate.
    Latency,
    /// CPU of a delivery by members.
    Members,
    /// Time of a page by depth.
    Depth,
}

impl Panel {
    const ALL: [Self; 4] = [Self::Cost, Self::Latency, Self::Members, Self::Depth];

    const fn titles(self) -> (&'static str, &'static str) {
        match self {
            Self::Cost => ("CPU per delivery, µs (1 room x 100)", "deliveries/s"),
            Self::Latency => ("send to delivery, p99, ms (1 room x 100)", "deliveries/s"),
            Self::Members => ("CPU per delivery, µs (40,000/s, one room)", "members"),
            Self::Depth => ("reading a room with 1,000,000 messages, ms", "messages above"),
        }
    }
}

/// A line of the chart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// Where.
    pub panel: Panel,
    /// Of what.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

/// Results on their way into files.
pub struct Report {
    folder: PathBuf,
    raw: File,
    rows: Vec<Row>,
    /// Lines of the chart.
    pub curves: Vec<Curve>,
}

impl Report {
    pub(super) fn open(folder: PathBuf) -> std::io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let raw = File::options().create(true).append(true).open(folder.join("raw.jsonl"))?;
        Ok(Self { folder, raw, rows: Vec::new(), curves: Vec::new() })
    }

    pub(super) fn raw(&mut self, line: &serde_json::Value) {
        writeln!(self.raw, "{line}").expect("the folder can be written to");
    }

    /// Adds a row and says it at once: a run takes long.
    pub fn add(&mut self, row: Row) {
        let _ = writeln!(std::io::stderr(), "{}", line(&row));
        self.rows.push(row);
    }

    /// What an earlier run left; nothing when there was none.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let text = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn write<T: Serialize>(&self, name: &str, list: &[T]) {
        let text = serde_json::to_string_pretty(list).expect("results are JSON");
        fs::write(self.folder.join(name), text).expect("the folder can be written to");
    }

    /// Writes everything, beside what an earlier run found for other goals, and returns the table.
    ///
    /// # Panics
    /// When the folder cannot be written to.
    pub fn finish(mut self) -> String {
        let new: HashSet<u32> = self.rows.iter().map(|row| row.goal).collect();
        let earlier: Vec<Row> = self.read("summary.json");
        self.rows.extend(earlier.into_iter().filter(|row| !new.contains(&row.goal)));
        self.rows.sort_by_key(|row| row.goal);
        self.write("summary.json", &self.rows);
        let drawn: Vec<Panel> = self.curves.iter().map(|curve| curve.panel).collect();
        let earlier: Vec<Curve> = self.read("curves.json");
        self.curves.extend(earlier.into_iter().filter(|curve| !drawn.contains(&curve.panel)));
        self.write("curves.json", &self.curves);
        let raised: Vec<String> = RAISED.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut table = format!("Raised for the measurement: {}\n\n", raised.join(", "));
        table.push_str("| goal | measured | value | limit | |\n|---|---|---:|---:|---|\n");
        for row in &self.rows {
            table.push_str(&line(row));
            table.push('\n');
        }
        fs::write(self.folder.join("table.md"), &table).expect("the folder can be written to");
        if !self.curves.is_empty() {
            chart(&self.folder.join("chart.svg"), &self.curves).expect("the chart can be drawn");
        }
        table
    }
}

fn line(row: &Row) -> String {
    let (sign, note) = row.note.split_once(' ').unwrap_or((&row.note, ""));
    let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
    let mark = if row.ok { "✓" } else { "✗" };
    format!("| {} | {}{note} | {:.2} | {sign} {} | {mark} |", row.goal, row.name, row.value, row.limit)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn chart(file: &Path, curves: &[Curve]) -> Drawn {
    let root = SVGBackend::new(file, (1000, 720)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly((2, 2)).iter().zip(Panel::ALL) {
        let curves: Vec<&Curve> = curves.iter().filter(|curve| curve.panel == panel).collect();
        if !curves.is_empty() {
            draw(area, panel, &curves)?;
        }
    }
    root.present()?;
    Ok(())
}

fn draw(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, panel: Panel, curves: &[&Curve]) -> Drawn {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let (left, right) = points().fold((f64::MAX, 1.0), |(low, high), (x, _)| (f64::min(low, *x), f64::max(high, *x)));
    let top = points().fold(0.0, |top, (_, y)| f64::max(top, *y)) * 1.1;
    let (title, below) = panel.titles();
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d((left..right).log_scale(), 0.0..top)?;
    chart.configure_mesh().x_desc(below).x_label_formatter(&label).light_line_style(TRANSPARENT).draw()?;
    for (place, curve) in curves.iter().enumerate() {
        let color = Palette99::pick(place).to_rgba();
        let drawn = LineSeries::new(curve.points.iter().copied(), color.stroke_width(2)).point_size(3);
        let key = move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color.stroke_width(2));
        chart.draw_series(drawn)?.label(curve.name.clone()).legend(key);
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    Ok(())
}

/// A number on a logarithmic axis: only 1, 2 and 5 of each power of ten, or they would stand upon each other.
fn label(number: &f64) -> String {
    let text = format!("{number:.0}");
    let round = text.strip_prefix(['1', '2', '5']).is_some_and(|rest| rest.bytes().all(|digit| digit == b'0'));
    if round { text } else { String::new() }
}
