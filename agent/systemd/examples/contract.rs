//! Runs the contract suite against the systemd of this machine; the machine tests call it.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let systemd = agent_systemd::Systemd::connect(agent_systemd::Options::default()).await?;
    agent_systemd::contract::run(&systemd, "systemd").await;
    Ok(())
}
