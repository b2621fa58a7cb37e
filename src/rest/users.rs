//! `/users`: a Secret keeps each user, since who they are is nobody else's business.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Request, State},
};
use http::StatusCode;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Done, Shim,
    access::{Caller, Segments},
    form::{self, Fields},
    keys::Scope,
    machines::{Vm, view},
    names,
    problem::{Detail, Invalid, Problem},
    services::{self, Service},
};
use crate::api;

/// The type of the Secrets.
const TYPE: &str = "cloudfaster.app/user";
const ID: &str = "userid";
const NAME: &str = "username";
/// The most characters of what clients give.
const MOST_ID: usize = 128;
const MOST_NAME: usize = 256;

/// A user to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes the form; the fields are read one by one")]
pub struct UserForm {
    /// The user's id: a number or a text.
    #[schema(min_length = 1, max_length = 128, example = "7")]
    userid: String,
    /// The user's name.
    #[schema(min_length = 1, max_length = 256, example = "Ana")]
    username: String,
}

/// A user, and what is the user's.
#[derive(Serialize, ToSchema)]
pub struct User {
    /// The user's id.
    #[schema(example = "7")]
    userid: String,
    /// The user's name.
    #[schema(example = "Ana")]
    username: String,
    /// When the user was made.
    #[schema(example = "2026-01-31T12:00:00Z")]
    created_at: String,
    /// The user's services.
    services: Vec<Service>,
    /// The user's machines.
    vms: Vec<Vm>,
}

/// Makes a user
///
/// Machines can be made for users that were never made; a user that was can be looked at.
#[utoipa::path(
    post,
    path = "/users",
    tag = "Users",
    request_body(content(
        (UserForm = "application/x-www-form-urlencoded"),
        (UserForm = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "The user is made", body = Done),
        (status = 400, description = "The user exists already, or the body cannot be read", body = Detail),
        (status = 401, description = "The API key is missing or wrong", body = Detail),
        (status = 403, description = "The API key lacks the scope `admin`, or is bound to another user", body = Detail),
        (status = 408, description = "The body does not come", body = Detail),
        (status = 413, description = "The body is too large", body = Detail),
        (status = 422, description = "The form does not validate", body = Invalid),
        (status = 429, description = "Too many requests", body = Detail),
        (status = 503, description = "The control plane does not answer", body = Detail),
    ),
)]
pub async fn create_user(
    State(shim): State<Arc<Shim>>,
    caller: Caller,
    request: Request,
) -> Result<Json<Done>, Problem> {
    caller.needs(&[Scope::Admin]).or_else(|why| caller.refused("create user", "", "", why))?;
    let form = form::read(request).await?;
    let mut fields = Fields::of(&form);
    let (userid, username) = (fields.required(&[ID], MOST_ID), fields.required(&[NAME], MOST_NAME));
    let (Some(userid), Some(username)) = (userid, username) else {
        return Err(Problem::Invalid(fields.faults()));
    };
    let object = names::user(userid);
    caller.reach(userid).or_else(|why| caller.refused("create user", userid, &object, why))?;
    let made = make(&shim, userid, username).await;
    caller.log("create user", userid, &object, &made);
    made.map(|()| Json(Done::default()))
}

async fn make(shim: &Shim, userid: &str, username: &str) -> Result<(), Problem> {
    shim.places.namespace(shim, userid).await?;
    match shim.ask(secrets(shim).create(&PostParams::default(), &secret(userid, username))).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            Err(Problem::Told(StatusCode::BAD_REQUEST, "User already exists".to_owned()))
        }
        made => Ok(made.map(drop)?),
    }
}

fn secret(userid: &str, username: &str) -> Secret {
    let text = |text: &str| ByteString(text.as_bytes().to_vec());
    Secret {
        metadata: ObjectMeta {
            name: Some(secret_name(userid)),
            labels: Some(BTreeMap::from([(api::USER.to_owned(), names::user(userid))])),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE.to_owned()),
        data: Some(BTreeMap::from([(ID.to_owned(), text(userid)), (NAME.to_owned(), text(username))])),
        ..Secret::default()
    }
}

fn secret_name(userid: &str) -> String {
    format!("user-{}", names::user(userid))
}

fn secrets(shim: &Shim) -> Api<Secret> {
    Api::namespaced(shim.client.clone(), &shim.settings.rest_namespace)
}

/// Shows a user
///
/// With the machines and services that are the user's. One that is just being made is not among them before it has a
/// number.
#[utoipa::path(
    get,
    path = "/users/{userid}",
    tag = "Users",
    params(("userid" = String, Path, description = "The user's id", example = "7")),
    responses(
        (status = 200, description = "The user", body = User),
        (status = 401, description = "The API key is missing or wrong", body = Detail),
        (status = 403, description = "The API key lacks the scope `read`", body = Detail),
        (status = 404, description = "There is no such user, or the API key is bound to another", body = Detail),
        (status = 429, description = "Too many requests", body = Detail),
        (status = 503, description = "The control plane does not answer", body = Detail),
    ),
)]
pub async fn get_user(
    State(shim): State<Arc<Shim>>,
    caller: Caller,
    Segments(userid): Segments<String>,
) -> Result<Json<User>, Problem> {
    caller.needs(&[Scope::Read])?;
    let missing = || Problem::not_found("User");
    if !caller.reaches(&userid) {
        return Err(missing());
    }
    let kept = shim.ask(secrets(&shim).get_opt(&secret_name(&userid))).await?.ok_or_else(missing)?;
    let data = kept.data.unwrap_or_default();
    let text =
        |key: &str| data.get(key).map(|value| String::from_utf8_lossy(&value.0).into_owned()).unwrap_or_default();
    let mut vms: Vec<Vm> = shim.machines.of_user(&names::user(&userid)).iter().filter_map(|vm| view(vm)).collect();
    vms.sort_by_key(|vm| vm.vm_id.parse::<i64>().unwrap_or_default());
    let mut services = shim.services.of_user(&names::user(&userid));
    services.sort_by_key(|service| service.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let services = services.iter().map(|service| services::view(service, shim.host_of(service).as_deref())).collect();
    let created_at = kept.metadata.creation_timestamp.map(|time| time.0.to_string()).unwrap_or_default();
    Ok(Json(User { userid: text(ID), username: text(NAME), created_at, services, vms }))
}
