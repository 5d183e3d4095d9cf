//! The simulation at full length, or one run again.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

fn main() {
    vip_simulation::run::silence_planned_panics();
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().map(String::as_str) == Some("--replay") {
        let setup: vip_simulation::run::Setup = words[1..].join(" ").parse().expect("a line to replay");
        let outcome = vip_simulation::run::run(&setup, vip_simulation::run::Trace::Lines);
        for line in &outcome.lines {
            println!("{line}");
        }
        println!("{} calls, {} counted, {:?}, {:?}", outcome.calls, outcome.ordinals, outcome.took, outcome.fired);
        println!("{:?}", outcome.violations);
    }
}
