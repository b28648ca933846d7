//! Background work that fails.

use platform::{
    config::service::ServiceConfig,
    failure::Failure,
    process::Process,
    worker::{Next, Step, Wake},
};

struct Panics;

impl Step for Panics {
    const NAME: &'static str = "panics";

    async fn step(&mut self) -> Result<Next, Failure> {
        panic!("a defect");
    }
}

#[tokio::test]
async fn a_step_that_panics_stops_the_service_instead_of_leaving_its_work_undone() {
    let file =
        "grpc: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\npostgres: {connection_string: postgres://x}";
    let config: ServiceConfig = platform::config::parse("test.yaml", file, &|_| None).unwrap();
    let process = Process::start("cart.Cart", &config).await.unwrap();
    process.work(Panics, Wake::default());
    process.stop().cancelled().await;
}
