//! The gateway: an axum service that calls the inventory through discovery, and reloads its
//! configuration live.
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use examples::inventory::{InventoryClient, Item};
use nacos_figment::Hot;
use nacos_tonic::{Channel, Idempotent};
use serde::{Deserialize, Serialize};
use tonic::Request;

/// The content of the document in Nacos.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Settings {
    /// Put before every answer.
    pub(crate) greeting: String,
    /// More than this is never promised.
    pub(crate) most_pieces: u32,
}

#[derive(Clone)]
struct Gateway {
    inventory: InventoryClient<Channel>,
    settings: Hot<Settings>,
}

/// The routes of the gateway.
pub(crate) fn routes(channel: Channel, settings: Hot<Settings>) -> Router {
    Router::new()
        .route("/stock/{item}", get(stock))
        .route("/greeting", get(greeting))
        .route("/greeting/next", get(next_greeting))
        .with_state(Gateway { inventory: InventoryClient::new(channel), settings })
}

/// Which instance answered.
async fn stock(
    State(mut gateway): State<Gateway>,
    Path(name): Path<String>,
) -> Result<String, (StatusCode, String)> {
    let mut request = Request::new(Item { name });
    // Asking twice is asking once: if an instance is lost on the way, another is asked.
    request.extensions_mut().insert(Idempotent);
    let stock = gateway.inventory.stock(request).await;
    let stock = stock.map_err(|status| (StatusCode::BAD_GATEWAY, status.to_string()))?.into_inner();
    let pieces = stock.pieces.min(gateway.settings.load().most_pieces);
    Ok(format!("{} {pieces}", stock.instance))
}

async fn greeting(State(gateway): State<Gateway>) -> String {
    gateway.settings.load().greeting.clone()
}

/// Answers as soon as the greeting is another one: a handler that runs while the configuration
/// changes.
async fn next_greeting(State(gateway): State<Gateway>) -> String {
    let mut changes = gateway.settings.map(|settings| &settings.greeting).changes();
    match changes.next().await {
        Some(change) => String::clone(&change.new),
        None => String::new(),
    }
}
