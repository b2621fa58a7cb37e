//! Files that are put into containers.

/// Name in `entries/files`, and text.
pub(super) const FILES: &[(&str, &str)] = &[
    ("composer.sh", include_str!("entries/files/composer.sh")),
    ("extensions.sh", include_str!("entries/files/extensions.sh")),
    ("health.py", include_str!("entries/files/health.py")),
    ("hidden.conf", include_str!("entries/files/hidden.conf")),
    ("laravel.conf", include_str!("entries/files/laravel.conf")),
    ("laravel.sh", include_str!("entries/files/laravel.sh")),
    ("mongodb.js", include_str!("entries/files/mongodb.js")),
    ("nodejs.sh", include_str!("entries/files/nodejs.sh")),
    ("php.sh", include_str!("entries/files/php.sh")),
    ("python.sh", include_str!("entries/files/python.sh")),
    ("react.conf", include_str!("entries/files/react.conf")),
    ("react.sh", include_str!("entries/files/react.sh")),
    ("static.conf", include_str!("entries/files/static.conf")),
    ("wordpress.sh", include_str!("entries/files/wordpress.sh")),
];

pub(super) fn find(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(file, _)| *file == name).map(|(_, text)| *text)
}
