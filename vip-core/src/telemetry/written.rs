//! A recorder that writes down what is counted, for tests.

use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// Writes down each count as `name label=value,label=value`.
#[derive(Default)]
pub(crate) struct Written(Arc<Mutex<Vec<String>>>);

impl Written {
    /// Returns what was counted so far, and checks that its names are in the list.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap().clone();
        let is_known = |line: &String| super::METRICS.contains(&line.split(' ').next().unwrap());
        assert!(lines.iter().all(is_known), "{lines:?}");
        lines
    }

    /// Says how often something was counted.
    pub(crate) fn times(&self, line: &str) -> usize {
        self.lines().iter().filter(|it| *it == line).count()
    }
}

struct Line(String, Arc<Mutex<Vec<String>>>);

impl CounterFn for Line {
    fn increment(&self, _value: u64) {
        self.1.lock().unwrap().push(self.0.clone());
    }

    fn absolute(&self, _value: u64) {}
}

impl HistogramFn for Line {
    fn record(&self, _value: f64) {
        self.1.lock().unwrap().push(self.0.clone());
    }
}

impl Recorder for Written {
    fn describe_counter(&self, _key: KeyName, _unit: Option<Unit>, _description: SharedString) {}

    fn describe_gauge(&self, _key: KeyName, _unit: Option<Unit>, _description: SharedString) {}

    fn describe_histogram(&self, _key: KeyName, _unit: Option<Unit>, _description: SharedString) {}

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Line(shown(key), self.0.clone())))
    }

    fn register_gauge(&self, _key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Line(shown(key), self.0.clone())))
    }
}

fn shown(key: &Key) -> String {
    let labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    format!("{} {}", key.name(), labels.join(","))
}
