//! The page at `/docs`, in a real browser: a machine is made from it, and nothing is loaded from elsewhere.

use std::{process::Stdio, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::support::{ADMIN, Site, until};

/// How the W3C names an element in an answer.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser that is driven by the WebDriver protocol; it ends with this.
struct Browser {
    _driver: Child,
    http: reqwest::Client,
    session: String,
}

impl Browser {
    async fn start() -> Self {
        let program = std::env::var_os("CHROMEDRIVER").unwrap_or_else(|| "chromedriver".into());
        let mut driver = Command::new(program)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is needed (package chromium-driver): in PATH, or named by the variable CHROMEDRIVER");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("chromedriver says where it listens");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let http = reqwest::Client::new();
        let options =
            json!({"args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,1500"]});
        let wanted = json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}});
        let base = format!("http://127.0.0.1:{port}/session");
        let answer = http.post(&base).body(wanted.to_string()).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}"));
        Self { _driver: driver, session: format!("{base}/{id}"), http }
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Value, Value> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let right = response.status().is_success();
        let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        if right { Ok(answer["value"].clone()) } else { Err(answer) }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Waits until the page has this element, by its XPath, and it can be used.
    async fn find(&self, path: &str) -> String {
        let found = async {
            loop {
                let wanted = json!({"using": "xpath", "value": path});
                if let Ok(found) = self.ask(Method::POST, "/element", wanted).await {
                    return found[ELEMENT].as_str().unwrap().to_owned();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), found).await {
            Ok(element) => element,
            Err(_) => panic!("the page has no {path}: {}", self.script("return document.body.innerText").await),
        }
    }

    async fn click(&self, path: &str) {
        let element = self.find(path).await;
        self.post(&format!("/element/{element}/click"), json!({})).await;
    }

    async fn write(&self, path: &str, text: &str) {
        let element = self.find(path).await;
        self.post(&format!("/element/{element}/clear"), json!({})).await;
        self.post(&format!("/element/{element}/value"), json!({"text": text})).await;
    }

    async fn script(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []})).await
    }

    async fn close(&self) {
        let _ = self.ask(Method::DELETE, "", Value::Null).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_made_from_the_page_itself() {
    let site = Site::new().await;
    let browser = Browser::start().await;
    browser.post("/url", json!({"url": format!("{}/docs", site.shim.url)})).await;
    browser.click("//button[contains(@class, 'authorize')]").await;
    browser.write("//div[contains(@class, 'auth-container')]//input", ADMIN).await;
    browser.click("//div[contains(@class, 'auth-btn-wrapper')]/button[contains(@class, 'authorize')]").await;
    browser.click("//div[contains(@class, 'auth-btn-wrapper')]/button[contains(@class, 'btn-done')]").await;
    let create = "//div[contains(@class, 'opblock-post')][.//span[@data-path='/vm']]";
    browser.click(&format!("{create}//button[contains(@class, 'opblock-summary-control')]")).await;
    for (field, value) in [("userid", "7"), ("vm_name", "from-the-page"), ("os", "DEBIAN12")] {
        browser.write(&format!("{create}//tr[@data-property-name='{field}']//input[@type='text']"), value).await;
    }
    browser.click(&format!("{create}//button[contains(@class, 'execute')]")).await;
    let live = format!("{create}//table[contains(@class, 'live-responses-table')]");
    let status = browser
        .find(&format!("{live}//td[contains(@class, 'response-col_status')][not(contains(@class, 'col_header'))]"))
        .await;
    let shown = browser.ask(Method::GET, &format!("/element/{status}/text"), Value::Null).await.unwrap();
    let answer = browser.script("return document.querySelector('.live-responses-table').innerText").await;
    assert!(shown.as_str().unwrap().starts_with("201"), "{answer}");
    assert!(answer.as_str().unwrap().contains("\"vm_id\": \"1000\""), "{answer}");
    assert_eq!(site.admin().get("/vm/1000").await.body["info"]["vm_name"], "from-the-page");

    let elsewhere = "return performance.getEntriesByType('resource').map(entry => entry.name) \
                     .filter(name => !name.startsWith(location.origin) && !name.startsWith('data:'))";
    assert_eq!(browser.script(elsewhere).await, json!([]), "something is loaded from elsewhere");
    browser.script("document.querySelector('.live-responses-table').scrollIntoView({block: 'end'})").await;
    let picture = browser.ask(Method::GET, "/screenshot", Value::Null).await.unwrap();
    let picture = STANDARD.decode(picture.as_str().unwrap()).unwrap();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("rest-docs.png");
    std::fs::write(&file, picture).unwrap();
    println!("the page: {}", file.display());
    browser.close().await;
    until(async || site.admin().get("/vm/1000").await.body["status"] == "enabled").await;
}
