//! What a call costs at each of the two doors, in turn.

use std::fmt::Write as _;

use super::{
    Bench, Course,
    loads::{ADD, Load, STOCKS},
    usage::{CLIENT, Cpu},
};
use crate::{Say, doors::Door, fleet::Service, load::Scenario};

const CALLERS: u32 = 16;
/// Each door is open so many times, so that a machine that gets slower is so for both.
const ROUNDS: u32 = 3;
/// How often the CPU by gRPC the same call may take at most.
const GOAL: f64 = 1.3;

/// What is called, and the service that answers.
const COMPARED: [(Load, Service); 3] = [
    (Load::users(STOCKS, Scenario::Stocks, CALLERS), Service::Loms),
    (Load::users(ADD, Scenario::Add, CALLERS), Service::Checkout),
    (Load::users("AddToCart, ListCart, DeleteFromCart", Scenario::Browse, CALLERS), Service::Checkout),
];

/// Calls at one door.
#[derive(Debug, Clone, Copy, Default)]
struct Calls {
    count: u64,
    /// How many ended otherwise than OK.
    failed: u64,
    /// CPU time of the service and of the client, in seconds.
    cpu: [f64; 2],
}

impl Calls {
    /// Milliseconds of CPU for 1,000 calls.
    fn per_thousand(&self) -> [f64; 2] {
        #[allow(clippy::cast_precision_loss, reason = "a mean is not that exact")]
        let count = self.count.max(1) as f64;
        self.cpu.map(|seconds| seconds * 1e6 / count)
    }
}

/// The same calls at both doors.
#[derive(Debug, Clone, Copy)]
pub(super) struct AtBothDoors {
    load: Load,
    service: Service,
    grpc: Calls,
    json: Calls,
}

/// Measures nothing else, with a fleet of its own. Returns the table.
pub async fn doors(course: Course, say: Say<'_>) -> anyhow::Result<String> {
    let mut bench = Bench::start(course, say).await?;
    let measured = async {
        say("warming up");
        bench.shop(COMPARED[0].0, course.warm_up).await?;
        bench.at_both_doors(say).await
    };
    let measured = measured.await;
    bench.fleet.stop().await;
    Ok(table(&measured?)?)
}

impl Bench {
    pub(super) async fn at_both_doors(&mut self, say: Say<'_>) -> anyhow::Result<Vec<AtBothDoors>> {
        let mut measured = Vec::new();
        for (load, service) in COMPARED {
            let mut both = AtBothDoors { load, service, grpc: Calls::default(), json: Calls::default() };
            for _ in 0..ROUNDS {
                self.call(&mut both.grpc, Load { door: Door::Grpc, ..load }, service).await?;
                self.call(&mut both.json, Load { door: Door::Json, ..load }, service).await?;
            }
            let [grpc, json] = [both.grpc, both.json].map(|calls| calls.per_thousand()[0]);
            say(&format!(
                "{}: {} takes {grpc:.0} ms of CPU for 1,000 calls by gRPC, {json:.0} ms by HTTP/JSON",
                load.name,
                service.name()
            ));
            measured.push(both);
        }
        Ok(measured)
    }

    async fn call(&mut self, calls: &mut Calls, load: Load, service: Service) -> anyhow::Result<()> {
        let before = Cpu::of(&mut self.fleet);
        let report = self.shop(load, self.course.load / ROUNDS).await?;
        let cpu = Cpu::of(&mut self.fleet) - before;
        for (all, part) in std::iter::zip(&mut calls.cpu, [service.name(), CLIENT]) {
            *all += cpu.0.get(part).copied().unwrap_or_default();
        }
        for line in report.lines.iter().filter(|line| line.name != "journey") {
            calls.count += line.count;
            calls.failed += line.codes.values().sum::<u64>();
        }
        Ok(())
    }
}

pub(super) fn table(measured: &[AtBothDoors]) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    writeln!(
        page,
        "\nThe JSON door: milliseconds of CPU that 1,000 calls cost the service and the client, over TLS. The goal is {GOAL} \
         times\nthe CPU of the service by gRPC at most.\n"
    )?;
    writeln!(page, "| calls by {CALLERS} | service | gRPC | JSON | ratio | client, gRPC | client, JSON | not OK |")?;
    writeln!(page, "|---|---|---|---|---|---|---|---|")?;
    for AtBothDoors { load, service, grpc, json } in measured {
        let [[own, client], [json_own, json_client]] = [grpc, json].map(Calls::per_thousand);
        writeln!(
            page,
            "| {} | {} | {own:.1} | {json_own:.1} | {:.2} | {client:.1} | {json_client:.1} | {} |",
            load.name,
            service.name(),
            json_own / own,
            grpc.failed + json.failed
        )?;
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_says_how_often_the_cpu_by_grpc_a_call_takes_over_http() {
        let calls = |seconds: f64| Calls { count: 10_000, failed: 0, cpu: [seconds, 2.0 * seconds] };
        let (load, service) = COMPARED[0];
        let table = table(&[AtBothDoors { load, service, grpc: calls(1.0), json: calls(1.25) }]).unwrap_or_default();
        assert!(table.contains("| Stocks | loms | 100.0 | 125.0 | 1.25 | 200.0 | 250.0 | 0 |"), "{table}");
    }
}
