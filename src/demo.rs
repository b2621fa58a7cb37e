//! The demonstration: the embedded control plane, a simulated Proxmox with the old system's five nodes and troubles, the
//! reconcilers, and the manifests of `examples/` on their way to Ready.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, PostParams},
    core::GroupVersionKind,
    discovery,
    runtime::{WatchStreamExt, watcher},
};
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use cloudfaster::{
    api::{self, ProxmoxCluster, ProxmoxVM, conditions, proxmox_vm::AttemptOutcome},
    controller,
    simulator::{ClockMode, Effect, Fault, Scenario, Simulator},
    standalone::ControlPlane,
    telemetry::Telemetry,
};

use super::{Failure, ensure_namespace};

/// The clone that fails: of this template, when so much is copied.
const FAILING_TEMPLATE: u32 = 9204;
const FAILING_AT: f64 = 50.0;

/// Where the demonstration takes its manifests from and keeps its things.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The manifests to apply.
    #[arg(long, default_value = "examples")]
    examples: PathBuf,
    /// Where the control plane listens; with port 0, on any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How many times as fast as outside the simulated time passes.
    #[arg(long, default_value_t = 4.0)]
    time_scale: f64,
    /// The kubectl that is shown in what to do next.
    #[arg(long, env = "KUBECTL", default_value = "kubectl")]
    kubectl: String,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 300)]
    time_limit: u64,
}

/// Runs the demonstration.
///
/// # Errors
/// When it cannot begin, or when not every machine became Ready in time.
pub async fn run(
    args: Args,
    settings: controller::Settings,
    telemetry: Telemetry,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let folder = tempfile::Builder::new().prefix("cloudfaster-demo-").tempdir()?;
    let mut scenario = Scenario::demo();
    scenario.clock = ClockMode::Scaled(args.time_scale);
    let simulator = Simulator::new(scenario);
    simulator.fault(Fault::new(Effect::CloneFails { percent: FAILING_AT }).vmid(FAILING_TEMPLATE).times(1))?;
    let proxmox = simulator.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await?;

    let plane = ControlPlane::open(folder.path(), api::crds(), shutdown.clone()).await?;
    let kubeconfig = folder.path().join("kubeconfig");
    let serving = plane.serve(folder.path(), args.listen, &kubeconfig).await?;
    let client = Client::new(plane.router(), "default");
    ensure_namespace(&client, &settings.operator_namespace, &[]).await?;
    println!("control plane      https://{}", serving.address());
    println!("simulated Proxmox  {} (sv1 is small, sv3 is down, a clone on sv4 will fail)", proxmox.url());

    let mut controller = tokio::spawn(controller::run(settings, client.clone(), telemetry, None, shutdown.clone()));
    for mut object in manifests(&args.examples)? {
        if object.types.as_ref().is_some_and(|types| types.kind == "ProxmoxCluster")
            && let Some(spec) = object.data.get_mut("spec")
        {
            // Where the simulated one happens to be, and the certificate that it made.
            spec["endpoints"] = json!([proxmox.url()]);
            spec["tls"] = json!({"fingerprints": [proxmox.fingerprint()]});
        }
        apply(&client, object).await?;
    }
    println!();
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(Duration::from_secs(args.time_limit), show(&client)) => match outcome {
            Ok(outcome) => outcome,
            Err(_) => Err(reasons(&client).await.into()),
        },
        ended = &mut controller => Err(format!("the controller ended: {ended:?}").into()),
        () = shutdown.cancelled() => return Ok(()),
    };
    outcome?;
    tell(&client).await?;
    if std::io::stdout().is_terminal() {
        println!("\nGo on with kubectl, in another terminal:\n");
        println!("    export KUBECONFIG={}", kubeconfig.display());
        for example in
            ["get pvm -n shop -o wide", "describe pvm builder -n shop", "explain pvm.spec", "delete pvm web -n shop"]
        {
            println!("    {} {example}", args.kubectl);
        }
        println!("\nCtrl-C ends it and removes everything.");
        shutdown.cancelled().await;
    }
    shutdown.cancel();
    let _ = controller.await;
    plane.close().await;
    Ok(())
}

/// The objects of all manifests of a folder, in the order of the files' names.
fn manifests(folder: &Path) -> Result<Vec<DynamicObject>, Failure> {
    let listed = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let documents: Vec<serde_json::Value> =
            serde_saphyr::from_multiple(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        for document in documents {
            objects.push(DynamicObject::deserialize(document)?);
        }
    }
    Ok(objects)
}

async fn apply(client: &Client, object: DynamicObject) -> Result<(), Failure> {
    let kind = GroupVersionKind::try_from(object.types.as_ref().ok_or("a manifest without kind")?)?;
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await?;
    let api: Api<DynamicObject> = match (&object.metadata.namespace, capabilities.scope) {
        (Some(namespace), discovery::Scope::Namespaced) => Api::namespaced_with(client.clone(), namespace, &resource),
        _ => Api::all_with(client.clone(), &resource),
    };
    api.create(&PostParams::default(), &object).await?;
    Ok(())
}

/// Shows each machine's progress until all are Ready.
async fn show(client: &Client) -> Result<(), Failure> {
    let api = Api::<ProxmoxVM>::all(client.clone());
    let all = api.list(&Default::default()).await?.items.len();
    let mut changes = watcher(api, watcher::Config::default()).default_backoff().applied_objects().boxed();
    let terminal = std::io::stdout().is_terminal();
    let bars = MultiProgress::new();
    let mut shown: BTreeMap<String, (ProgressBar, String)> = BTreeMap::new();
    let mut ready = BTreeMap::new();
    while let Some(vm) = changes.try_next().await? {
        let name = vm.name_any();
        let line = line(&vm);
        let (bar, last) = shown.entry(name.clone()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(100).with_style(style()));
            bar.set_prefix(name.clone());
            (bar, String::new())
        });
        let progress = vm.status.as_ref().and_then(|status| status.progress).unwrap_or(0);
        bar.set_position(progress.unsigned_abs());
        bar.set_message(line.clone());
        if !terminal && *last != line {
            println!("{name:10} {progress:3} %  {line}");
        }
        *last = line;
        ready.insert(name, is_ready(&vm));
        if ready.len() == all && ready.values().all(|ready| *ready) {
            for (bar, _) in shown.values() {
                bar.abandon();
            }
            return Ok(());
        }
    }
    Err("the watch ended".into())
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:10} {bar:30.green} {pos:>3} %  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn line(vm: &ProxmoxVM) -> String {
    let Some(status) = &vm.status else { return "waits for the controller".to_owned() };
    let phase = status.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
    format!("{phase:12} {}", status.message.clone().unwrap_or_default())
}

fn is_ready(vm: &ProxmoxVM) -> bool {
    let conditions = vm.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == conditions::READY && condition.status == "True")
}

/// The story of each machine, from its status.
async fn tell(client: &Client) -> Result<(), Failure> {
    println!("\n\nAll machines are Ready. How each found its node:");
    for vm in Api::<ProxmoxVM>::all(client.clone()).list(&Default::default()).await? {
        println!("\n  {}", vm.name_any());
        for attempt in vm.status.iter().flat_map(|status| &status.attempts) {
            let outcome = match attempt.outcome {
                AttemptOutcome::Succeeded => "ok",
                AttemptOutcome::Failed => "failed",
                AttemptOutcome::Skipped => "skipped",
                AttemptOutcome::Lost => "lost",
            };
            println!("    {:4} {outcome:8} {}", attempt.node, attempt.message.as_deref().unwrap_or(&attempt.reason));
        }
    }
    Ok(())
}

/// Why not every machine became Ready.
async fn reasons(client: &Client) -> String {
    let mut text = "not every machine became Ready in time".to_owned();
    if let Ok(clusters) = Api::<ProxmoxCluster>::all(client.clone()).list(&Default::default()).await {
        for condition in
            clusters.items.iter().flat_map(|cluster| cluster.status.iter().flat_map(|status| &status.conditions))
        {
            text.push_str(&format!("\n  cluster: {} {}: {}", condition.type_, condition.status, condition.message));
        }
    }
    if let Ok(machines) = Api::<ProxmoxVM>::all(client.clone()).list(&Default::default()).await {
        for vm in machines.items.iter().filter(|vm| !is_ready(vm)) {
            text.push_str(&format!("\n  {}: {}", vm.name_any(), line(vm)));
        }
    }
    text
}
