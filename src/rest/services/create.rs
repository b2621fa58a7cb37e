//! `POST /service`: a service is made, with the files that come with the request.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
};
use http::StatusCode;
use kube::{Api, ResourceExt, api::PostParams};
use tokio::time::Instant;

use super::{
    object,
    request::{FILE, ServiceForm, Wanted},
    view::{Service, is_ready, is_stalled, view},
};
use crate::{
    api::{DockerHost, DockerService},
    artifacts::{Archive, Store},
    docker::content::Limits,
    rest::{
        Shim,
        access::Caller,
        attempt::Attempt,
        form::{self, Brought, Files, Form},
        keys::Scope,
        making::Making,
        patience,
        problem::{Detail, Invalid, Problem},
    },
};

/// Makes a service
///
/// The answer comes when the service is written down, while it is still being made; with `wait`, when it runs, cannot, or that time is
/// over. A ZIP archive is checked before anything is made of it.
#[utoipa::path(
    post,
    path = "/service",
    tag = "Docker services",
    params(
        ("wait" = Option<i64>, Query, description = "So many seconds the answer waits for the service to run", minimum = 0,
         maximum = 600),
        ("Idempotency-Key" = Option<String>, Header, description = "A key of the client's own for this request: it can be \
         sent again, and there is one service, as long as the service is there", min_length = 1, max_length = 255,
         pattern = "^[!-~]+$"),
    ),
    request_body(content(
        (ServiceForm = "multipart/form-data"),
        (ServiceForm = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 201, description = "The service is there, or being made", body = Service),
        (status = 400, description = "The body cannot be read, or the file is no archive that is taken", body = Detail),
        (status = 401, description = "The API key is missing or wrong", body = Detail),
        (status = 403, description = "The API key lacks the scope `services`, or is bound to another user", body = Detail),
        (status = 408, description = "The body does not come", body = Detail),
        (status = 409, description = "The user has a service of this name, or another service has its host name", body = Detail),
        (status = 413, description = "The body is too large", body = Detail),
        (status = 422, description = "The form does not validate", body = Invalid),
        (status = 429, description = "Too many requests", body = Detail),
        (status = 503, description = "The control plane does not answer, or there is no Docker host or no place for uploads; \
         nothing is made", body = Detail),
    ),
)]
pub async fn create_service(
    State(shim): State<Arc<Shim>>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<Service>), Problem> {
    caller.needs(&[Scope::Services]).or_else(|why| caller.refused("create service", "", "", why))?;
    let mut faults = Vec::new();
    let mut note = |fault| faults.push(fault);
    let wait = patience::wait(request.uri().query()).map_err(&mut note).unwrap_or_default();
    let headers = request.headers().clone();
    let key = patience::idempotency_key(&headers).map_err(&mut note).unwrap_or_default();
    let (form, archive) = receive(&shim, request).await?;
    let sha256 = archive.as_ref().map(|(archive, _)| archive.sha256.as_str());
    let wanted = Wanted::read(&form, sha256, faults)?;
    caller.reach(&wanted.userid).or_else(|why| caller.refused("create service", &wanted.userid, &wanted.name, why))?;
    let host = shim.docker_host()?;
    let attempt =
        object::attempt(&wanted, &host, key).map_err(|error| Problem::unavailable(format!("A defect: {error}")))?;
    // It comes to its end even if the client goes away: what was begun is finished or taken back.
    let (userid, name) = (wanted.userid.clone(), wanted.name.clone());
    let order = Order { wanted, attempt, host, archive, wait: Duration::from_secs(wait) };
    let made = tokio::spawn(make(shim, order)).await;
    let made = made.unwrap_or_else(|_| Err(Problem::unavailable("It did not come to an end")));
    caller.log("create service", &userid, &name, &made);
    Ok((StatusCode::CREATED, Json(made?)))
}

/// What came, with the archive in it, checked, and the store for it.
async fn receive(shim: &Shim, request: Request) -> Result<(Form, Option<(Archive, Store)>), Problem> {
    let most = u64::try_from(shim.settings.rest_upload_limit.bytes()).unwrap_or_default();
    let files = Files {
        turns: &shim.uploads,
        busy: "Too many files are being uploaded at the same time; try again later",
        names: &FILE,
        ending: ".zip",
        otherwise: "File must be a .zip",
        most,
    };
    let Brought { form, file, turn: _turn } = form::read_with_files(request, files).await?;
    let Some(file) = file else { return Ok((form, None)) };
    let Some(store) = shim.settings.artifacts.clone() else {
        return Err(Problem::unavailable("Files cannot be uploaded here, since the API has no artifact store"));
    };
    // Who raises the limit of uploads means to have larger files.
    let usual = Limits::default();
    let limits = Limits { size: usual.size.max(most), file_size: usual.file_size.max(most), ..usual };
    Ok((form, Some((file.finish(limits).await?, store))))
}

/// A service that is to be made.
struct Order {
    wanted: Wanted,
    attempt: Attempt<DockerService>,
    host: Arc<DockerHost>,
    archive: Option<(Archive, Store)>,
    wait: Duration,
}

async fn make(shim: Arc<Shim>, order: Order) -> Result<Service, Problem> {
    let Order { wanted, mut attempt, host, archive, wait } = order;
    let namespace = shim.places.namespace(&shim, &wanted.userid).await?;
    attempt.object.metadata.namespace = Some(namespace.clone());
    let domain = host.spec.proxy.as_ref().map(|proxy| proxy.domain.as_str());
    if let Some(name) = domain.and_then(|domain| shim.services.taken(&attempt.object, domain)) {
        return Err(Problem::conflict(format!("The name {name} is that of another service; choose another")));
    }
    if let Some((archive, store)) = archive {
        // Should the service not be made, the archive goes by itself after a while.
        store.put(&namespace, archive).await?;
    }
    let api = Api::<DockerService>::namespaced(shim.client.clone(), &namespace);
    let making = Making { shim: &shim, api, seen: &shim.services, attempt, word: "service", called: &wanted.name };
    let until = Instant::now() + wait;
    let service = making.create().await?;
    making.secure(&service, &namespace, &wanted).await?;
    let service = making.ready(service, until).await;
    Ok(view(&service, Some(&host)))
}

impl Making<'_, DockerService> {
    /// Puts the password there that the service waits for; a service that would wait for ever is taken back.
    async fn secure(&self, service: &DockerService, namespace: &str, wanted: &Wanted) -> Result<(), Problem> {
        let Some(secret) = object::password(service, wanted) else { return Ok(()) };
        let secrets = Api::namespaced(self.shim.client.clone(), namespace);
        match self.shim.ask(secrets.create(&PostParams::default(), &secret)).await {
            Ok(_) => Ok(()),
            // By the first of several same requests.
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(error) => {
                self.take_back_later();
                Err(error.into())
            }
        }
    }

    /// Waits until it runs, cannot, or the time is over.
    async fn ready(&self, mut service: DockerService, until: Instant) -> DockerService {
        let mut follow = self.follow(&service);
        if let Some(seen) = follow.borrow_and_update().clone().filter(|seen| seen.uid() == service.uid()) {
            service = (*seen).clone();
        }
        while !is_ready(&service) && !is_stalled(&service) {
            if !self.changes(&mut follow, until, &self.shim.closing).await {
                break;
            }
            match follow.borrow_and_update().clone() {
                Some(seen) if seen.uid() == service.uid() => service = (*seen).clone(),
                // It is gone: what was known last is told.
                _ => break,
            }
        }
        service
    }
}
