//! The images of others leave no nameless volumes behind.

use std::collections::BTreeSet;

use crate::compose::{Compose, Service};

/// The images of others, and the `VOLUME`s of their Dockerfiles.
const VOLUMES: [(&str, &[&str]); 11] = [
    ("postgres", &["/var/lib/postgresql"]),
    ("apache/kafka", &["/etc/kafka/secrets", "/mnt/shared/config", "/var/lib/kafka/data"]),
    ("ghcr.io/kafbat/kafka-ui", &[]),
    ("jaegertracing/jaeger", &["/tmp"]),
    ("prom/prometheus", &["/prometheus"]),
    ("prom/alertmanager", &["/alertmanager"]),
    ("grafana/grafana", &[]),
    ("mongo", &["/data/configdb", "/data/db"]),
    ("opensearchproject/opensearch", &[]),
    ("graylog/graylog", &["/usr/share/graylog/data"]),
    ("curlimages/curl", &[]),
];

/// The paths in a container over which compose mounts something of its own.
fn mounted(service: &Service) -> BTreeSet<String> {
    let temporary = service.list("tmpfs").into_iter().map(|path| path.split(':').next().unwrap().to_owned());
    temporary.chain(service.mounts().into_iter().map(|mount| mount.target)).collect()
}

/// Docker makes a nameless volume for each `VOLUME` of an image over which nothing is mounted, anew at each start.
#[test]
fn something_of_ours_is_mounted_over_every_volume_of_an_image_of_others() {
    let services = Compose::both().services;
    let foreign: Vec<_> = services.iter().filter(|(_, service)| service.target().is_none()).collect();
    let mut used = BTreeSet::new();
    for (name, service) in foreign {
        let image = service.text("image");
        let (image, _) = image.rsplit_once(':').unwrap();
        let known = VOLUMES.iter().find(|(known, _)| *known == image);
        let (image, volumes) = known.unwrap_or_else(|| panic!("which volumes has {image}?"));
        let mounted = mounted(service);
        for volume in *volumes {
            assert!(mounted.contains(*volume), "{name} leaves a volume for {volume} behind at each stop");
        }
        used.insert(*image);
    }
    assert_eq!(used, VOLUMES.iter().map(|(image, _)| *image).collect(), "images in use, and images known here");
}
