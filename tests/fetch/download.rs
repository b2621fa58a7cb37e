//! Archives by their URL.

use std::{fs, io::Read};

use cloudfaster::docker::content::fetch::{
    Class, Networks, Times,
    http::{Basic, Client},
};
use reqwest::Url;

use crate::{loopback, refused, server::Server, short};

const DIGEST: &str = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

fn client() -> Client {
    Client::new(&loopback(), None, short().times).unwrap()
}

#[tokio::test]
async fn a_file_is_downloaded_if_it_is_the_one() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("served")).unwrap();
    fs::write(root.path().join("served/file.zip"), "hello world").unwrap();
    let server = Server::start(root.path()).await;
    let url: Url = server.url("file.zip").parse().unwrap();
    let mut found = client().download(&url, Some(&DIGEST.to_uppercase()), None, 11).await.unwrap();
    let mut text = String::new();
    found.file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), found.size, found.digest.as_str()), ("hello world", 11, DIGEST));

    let other = "0".repeat(64);
    let error = refused(client().download(&url, Some(&other), None, 11).await, Class::Invalid, DIGEST);
    assert!(error.to_string().contains(&other), "{error}");
    refused(client().download(&url, None, None, 10).await, Class::Invalid, "larger than 10 bytes");
    let missing: Url = server.url("none.zip").parse().unwrap();
    refused(client().download(&missing, None, None, 10).await, Class::Refused, "does not exist");
    let public = Client::new(&Networks::default(), None, Times::default()).unwrap();
    refused(public.download(&url, None, None, 11).await, Class::Invalid, "administrator");

    let basic = Basic { user: "user".into(), password: "password".to_owned().into() };
    server.behave(|manners| manners.password = Some(("user".into(), "password".into())));
    refused(client().download(&url, None, None, 11).await, Class::Refused, "wants credentials");
    client().download(&url, None, Some(&basic), 11).await.unwrap();

    // Neither another server nor the message sees the query and the credentials.
    let elsewhere = Server::start(root.path()).await;
    let to = elsewhere.url("file.zip?signature=secret");
    server.behave(|manners| {
        manners.password = None;
        manners.redirect = Some(("/file.zip".into(), to));
    });
    client().download(&url, Some(DIGEST), Some(&basic), 11).await.unwrap();
    assert!(elsewhere.asked().iter().all(|asked| asked.authorization.is_none()));
    elsewhere.behave(|manners| manners.password = Some(("user".into(), "password".into())));
    refused(client().download(&url, None, Some(&basic), 11).await, Class::Refused, "wants credentials");
    elsewhere.behave(|manners| manners.status = Some(404));
    let error =
        refused(client().download(&url, None, Some(&basic), 11).await, Class::Refused, "file.zip does not exist");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}
