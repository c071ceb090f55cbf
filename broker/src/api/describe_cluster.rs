//! DescribeCluster: the brokers and who controls them.

use std::sync::Arc;

use protocol::Utf8Bytes;
use protocol::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};
use protocol::messages::{DescribeClusterRequest, describe_cluster_response};
use types::ErrorCode;

use super::RequestContext;
use super::topics::{self, NO_OPERATIONS};
use crate::node::Node;

/// `endpoint_type`: brokers or controllers.
const BROKERS: i8 = 1;

/// What the cluster is.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let answer = describe_cluster_response::DescribeClusterResponse {
        endpoint_type: request.endpoint_type,
        cluster_id: node.cluster_id().map(Utf8Bytes::from).unwrap_or_default(),
        controller_id: -1,
        cluster_authorized_operations: NO_OPERATIONS,
        ..DescribeClusterResponse::default()
    };
    if request.endpoint_type != BROKERS {
        return DescribeClusterResponse {
            error_code: ErrorCode::MismatchedEndpointType.code(),
            error_message: Some("this is a broker's listener: ask for brokers".into()),
            ..answer
        };
    }
    let image = node.metadata().image();
    let brokers = topics::brokers(&image, context).into_iter().map(|broker| DescribeClusterBroker {
        broker_id: broker.node_id,
        host: broker.host,
        port: broker.port,
        rack: broker.rack,
        ..DescribeClusterBroker::default()
    });
    DescribeClusterResponse {
        controller_id: topics::controller(node, &image),
        brokers: brokers.collect(),
        ..answer
    }
}
