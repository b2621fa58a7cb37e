//! A process that dies at every request that changes something, before the engine heard it and after it answered.

use futures::{StreamExt, stream};

use super::walk::{End, Object};
use crate::support::{
    Run,
    proxy::{Death, Proxy},
};
use cloudfaster::docker::desired::Removal;

/// How many projects are walked at once.
const AT_ONCE: usize = 4;

/// What is wrong with a project that rests.
fn check(object: &Object, volumes: usize) {
    let name = &object.project.name;
    let expected =
        [format!("{name}-db-1 running"), format!("{name}-migrate-1 exited"), format!("{name}-web-1 running")];
    assert_eq!(object.containers(), expected);
    assert_eq!(object.things("network"), [format!("{name}_default")]);
    assert_eq!(object.things("volume").len(), volumes);
}

/// Walks with a death, and then, by another process, to the end; whether it came to the death.
async fn die_and_go_on(object: &mut Object, death: Death, lose_status: bool, end: End) -> bool {
    let dying = Proxy::start(death);
    let died = match object.walk(&dying).await {
        End::Death => true,
        other => {
            assert_eq!(other, end, "{death:?}");
            return false;
        }
    };
    if lose_status {
        object.lose_status();
    }
    let proxy = Proxy::start(Death::Never);
    assert_eq!(object.walk(&proxy).await, end, "after {death:?}");
    died
}

/// Brings a project up, changes it and removes it, with a death at the same request of each; whether there was one.
async fn live(run: &Run, number: usize, before: bool) -> bool {
    let death = if before { Death::Before(number) } else { Death::After(number) };
    let lose_status = number % 2 == usize::from(before);
    let mut object = Object::new(run, &format!("k{number}{}", u8::from(before)));
    let mut died = die_and_go_on(&mut object, death, lose_status, End::Rest).await;
    check(&object, 2);

    object.change(|project| {
        let web = project.services.get_mut("web").unwrap();
        web.environment.insert("RELEASE".into(), Some("2".into()));
        project.configs.get_mut("page").unwrap().content = b"changed".to_vec();
    });
    died |= die_and_go_on(&mut object, death, lose_status, End::Rest).await;
    check(&object, 2);
    let idle = Proxy::start(Death::Never);
    assert_eq!(object.walk(&idle).await, End::Rest);
    assert_eq!(idle.written(), [""; 0], "at rest nothing is written");

    object.removal = Some(Removal::WithVolumes);
    died |= die_and_go_on(&mut object, death, lose_status, End::Released).await;
    let left = [object.containers(), object.things("network"), object.things("volume")].concat();
    assert!(left.is_empty(), "left after {death:?}: {left:?}");
    died
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_at_any_request_leaves_nothing_too_many_and_nothing_too_few() {
    let run = Run::new();
    // How many requests it takes: the images are made by the first.
    let mut object = Object::new(&run, "count");
    let proxy = Proxy::start(Death::Never);
    assert_eq!(object.walk(&proxy).await, End::Rest);
    let requests = proxy.written();
    assert!(requests.len() >= 10, "{requests:?}");
    let lives = (0..requests.len()).flat_map(|number| [(number, true), (number, false)]);
    let run = &run;
    let died: Vec<bool> =
        stream::iter(lives).map(|(number, before)| live(run, number, before)).buffer_unordered(AT_ONCE).collect().await;
    assert!(died.iter().all(|died| *died), "there was a death at each request: {died:?}");
    println!("{} deaths at {} requests: {requests:#?}", died.len(), requests.len());
    object.removal = Some(Removal::WithVolumes);
    assert_eq!(object.walk(&Proxy::start(Death::Never)).await, End::Released);
}
