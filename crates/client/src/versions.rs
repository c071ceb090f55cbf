//! Which version of an API two sides have in common.

use std::collections::BTreeMap;

use protocol::messages::ApiVersionsResponse;
use protocol::{ApiKey, Request};

/// The versions that one broker serves, by API number.
#[derive(Clone, Debug, Default)]
pub struct BrokerVersions(BTreeMap<i16, (i16, i16)>);

impl BrokerVersions {
    /// From the broker's answer.
    pub fn new(response: &ApiVersionsResponse) -> BrokerVersions {
        let keys = response.api_keys.iter();
        BrokerVersions(keys.map(|api| (api.api_key, (api.min_version, api.max_version))).collect())
    }

    /// The lowest and highest version that the broker serves.
    pub fn range(&self, key: ApiKey) -> Option<(i16, i16)> {
        self.0.get(&key.code()).copied()
    }

    /// Every API that the broker serves: number, lowest and highest version.
    pub fn iter(&self) -> impl Iterator<Item = (i16, i16, i16)> {
        self.0.iter().map(|(&key, &(min, max))| (key, min, max))
    }

    /// The highest version up to `cap` that both sides speak.
    pub fn common<R: Request>(&self, cap: i16) -> Option<i16> {
        let (min, max) = self.range(R::KEY)?;
        let version = max.min(R::KEY.latest_stable_version()).min(cap);
        (version >= min.max(R::KEY.versions().min)).then_some(version)
    }

    /// The range in words, for an error.
    pub(crate) fn describe(&self, key: ApiKey) -> String {
        match self.range(key) {
            Some((min, max)) => format!("it serves versions {min} to {max}"),
            None => "it does not serve it at all".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::api_versions_response::ApiVersion;
    use protocol::messages::{ApiVersionsResponse, FetchRequest};

    use super::BrokerVersions;

    fn serving(min_version: i16, max_version: i16) -> BrokerVersions {
        let api_keys = vec![ApiVersion { api_key: 1, min_version, max_version, ..ApiVersion::default() }];
        BrokerVersions::new(&ApiVersionsResponse { api_keys, ..ApiVersionsResponse::default() })
    }

    #[test]
    fn the_highest_common_version_is_taken() {
        assert_eq!(serving(4, 12).common::<FetchRequest>(i16::MAX), Some(12));
        assert_eq!(serving(4, 99).common::<FetchRequest>(i16::MAX), Some(18));
        assert_eq!(serving(4, 18).common::<FetchRequest>(12), Some(12));
        assert_eq!(serving(13, 18).common::<FetchRequest>(12), None);
        assert_eq!(serving(0, 3).common::<FetchRequest>(i16::MAX), None);
    }
}
