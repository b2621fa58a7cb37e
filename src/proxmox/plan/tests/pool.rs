//! The pool that a machine is in.

use super::build::*;
use crate::proxmox::plan::*;

fn in_pool(there: Option<&str>, wanted: Option<&str>) -> Scene {
    Scene::at_stage(Stage::Established).machine(place("a", 600), finished_config(600), Power::Running).with(|scene| {
        scene.sites[0].vms.get_mut(&600).unwrap().pool = there.map(str::to_owned);
        scene.spec().pool = wanted.map(str::to_owned);
    })
}

#[test]
fn a_machine_is_put_into_the_pool_that_the_spec_names_and_is_left_in_any_other() {
    assert_eq!(in_pool(None, Some("shop")).outcome(), "pool a/600 shop");
    assert_eq!(in_pool(Some("other"), Some("shop")).outcome(), "pool a/600 shop");
    assert_eq!(in_pool(Some("shop"), Some("shop")).outcome(), "rest");
    assert_eq!(in_pool(Some("other"), None).outcome(), "rest");
}

#[test]
fn a_list_from_before_is_asked_for_again_first() {
    let scene = in_pool(None, Some("shop"));
    assert_eq!(scene.next(), Step::Look(Look::List("a".into())));
}

#[test]
fn a_clone_is_made_in_its_pool() {
    let mut scene = Scene::new().asking(|spec| spec.pool = Some("shop".into()));
    let Step::Act(Action::Clone { pool, .. }) = scene.settle() else { panic!() };
    assert_eq!(pool.as_deref(), Some("shop"));
}

#[test]
fn nobody_is_put_into_a_pool_on_terms_that_are_refused() {
    let refused = in_pool(None, Some("shop")).with(|scene| {
        scene.terms().refusal = Some(Reason::new("NotAllowed", "spec.pool"));
    });
    assert_eq!(refused.outcome(), "stall NotAllowed");
}
