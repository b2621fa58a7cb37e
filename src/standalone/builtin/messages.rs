//! The protobuf messages of the built-in kinds. The numbers are those of the `generated.proto` files
//! in `k8s.io/api` and `k8s.io/apimachinery`, where they never change.

use crate::standalone::protobuf::Holds::{
    BytesByText, Flag, Many, MicroTime, One, Text, TextByText, Texts, Time, Whole,
};
use crate::standalone::protobuf::{Field, Message};
use crate::standalone::registry::Origin;

/// The message of a kind; definitions and custom kinds are never sent so.
pub fn of(origin: Origin) -> Option<Message> {
    match origin {
        Origin::Namespace => Some(NAMESPACE),
        Origin::Secret => Some(SECRET),
        Origin::ConfigMap => Some(CONFIG_MAP),
        Origin::CoreEvent => Some(CORE_EVENT),
        Origin::Event => Some(EVENT),
        Origin::Lease => Some(LEASE),
        Origin::Definition | Origin::Custom => None,
    }
}

pub const DELETE_OPTIONS: Message = &[
    Field(1, "gracePeriodSeconds", Whole),
    Field(2, "preconditions", One(&[Field(1, "uid", Text), Field(2, "resourceVersion", Text)])),
    Field(3, "orphanDependents", Flag),
    Field(4, "propagationPolicy", Text),
    Field(5, "dryRun", Texts),
];

pub const ACCESS_REVIEW: Message = &[
    Field(1, "metadata", One(META)),
    Field(
        2,
        "spec",
        One(&[
            Field(
                1,
                "resourceAttributes",
                One(&[
                    Field(1, "namespace", Text),
                    Field(2, "verb", Text),
                    Field(3, "group", Text),
                    Field(4, "version", Text),
                    Field(5, "resource", Text),
                    Field(6, "subresource", Text),
                    Field(7, "name", Text),
                ]),
            ),
            Field(2, "nonResourceAttributes", One(&[Field(1, "path", Text), Field(2, "verb", Text)])),
        ]),
    ),
];

pub const RULES_REVIEW: Message =
    &[Field(1, "metadata", One(META)), Field(2, "spec", One(&[Field(1, "namespace", Text)]))];

pub const SELF_REVIEW: Message = &[Field(1, "metadata", One(META))];

const META: Message = &[
    Field(1, "name", Text),
    Field(2, "generateName", Text),
    Field(3, "namespace", Text),
    Field(5, "uid", Text),
    Field(6, "resourceVersion", Text),
    Field(7, "generation", Whole),
    Field(8, "creationTimestamp", Time),
    Field(9, "deletionTimestamp", Time),
    Field(10, "deletionGracePeriodSeconds", Whole),
    Field(11, "labels", TextByText),
    Field(12, "annotations", TextByText),
    Field(13, "ownerReferences", Many(OWNER)),
    Field(14, "finalizers", Texts),
];

const OWNER: Message = &[
    Field(1, "kind", Text),
    Field(3, "name", Text),
    Field(4, "uid", Text),
    Field(5, "apiVersion", Text),
    Field(6, "controller", Flag),
    Field(7, "blockOwnerDeletion", Flag),
];

const NAMESPACE: Message = &[
    Field(1, "metadata", One(META)),
    Field(2, "spec", One(&[Field(1, "finalizers", Texts)])),
    Field(3, "status", One(&[Field(1, "phase", Text)])),
];

const SECRET: Message = &[
    Field(1, "metadata", One(META)),
    Field(2, "data", BytesByText),
    Field(3, "type", Text),
    Field(4, "stringData", TextByText),
    Field(5, "immutable", Flag),
];

const CONFIG_MAP: Message = &[
    Field(1, "metadata", One(META)),
    Field(2, "data", TextByText),
    Field(3, "binaryData", BytesByText),
    Field(4, "immutable", Flag),
];

const OBJECT_REFERENCE: Message = &[
    Field(1, "kind", Text),
    Field(2, "namespace", Text),
    Field(3, "name", Text),
    Field(4, "uid", Text),
    Field(5, "apiVersion", Text),
    Field(6, "resourceVersion", Text),
    Field(7, "fieldPath", Text),
];

const SERIES: Message = &[Field(1, "count", Whole), Field(2, "lastObservedTime", MicroTime)];

const SOURCE: Message = &[Field(1, "component", Text), Field(2, "host", Text)];

const CORE_EVENT: Message = &[
    Field(1, "metadata", One(META)),
    Field(2, "involvedObject", One(OBJECT_REFERENCE)),
    Field(3, "reason", Text),
    Field(4, "message", Text),
    Field(5, "source", One(SOURCE)),
    Field(6, "firstTimestamp", Time),
    Field(7, "lastTimestamp", Time),
    Field(8, "count", Whole),
    Field(9, "type", Text),
    Field(10, "eventTime", MicroTime),
    Field(11, "series", One(SERIES)),
    Field(12, "action", Text),
    Field(13, "related", One(OBJECT_REFERENCE)),
    Field(14, "reportingComponent", Text),
    Field(15, "reportingInstance", Text),
];

const EVENT: Message = &[
    Field(1, "metadata", One(META)),
    Field(2, "eventTime", MicroTime),
    Field(3, "series", One(SERIES)),
    Field(4, "reportingController", Text),
    Field(5, "reportingInstance", Text),
    Field(6, "action", Text),
    Field(7, "reason", Text),
    Field(8, "regarding", One(OBJECT_REFERENCE)),
    Field(9, "related", One(OBJECT_REFERENCE)),
    Field(10, "note", Text),
    Field(11, "type", Text),
    Field(12, "deprecatedSource", One(SOURCE)),
    Field(13, "deprecatedFirstTimestamp", Time),
    Field(14, "deprecatedLastTimestamp", Time),
    Field(15, "deprecatedCount", Whole),
];

const LEASE: Message = &[
    Field(1, "metadata", One(META)),
    Field(
        2,
        "spec",
        One(&[
            Field(1, "holderIdentity", Text),
            Field(2, "leaseDurationSeconds", Whole),
            Field(3, "acquireTime", MicroTime),
            Field(4, "renewTime", MicroTime),
            Field(5, "leaseTransitions", Whole),
            Field(6, "strategy", Text),
            Field(7, "preferredHolder", Text),
        ]),
    ),
];
