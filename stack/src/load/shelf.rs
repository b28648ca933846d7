//! What can be bought, and how shoppers choose.

use std::{collections::BTreeMap, str::FromStr};

use anyhow::{Context as _, ensure};
use proto::{loms::StocksRequest, product::ListSkusRequest};
use rand::{Rng, rngs::StdRng};
use rand_distr::{Distribution as _, Zipf};

use super::clients::Clients;

/// How often each SKU is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    Uniform,
    /// The first SKU most often; the larger the exponent, the more so.
    Zipf(f64),
}

impl FromStr for Choice {
    type Err = String;

    /// `uniform`, `zipf` (exponent 1), or `zipf:1.2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let exponent = match text.split_once(':') {
            None if text == "uniform" => return Ok(Self::Uniform),
            None if text == "zipf" => Some(1.0),
            Some(("zipf", exponent)) => exponent.parse().ok(),
            _ => None,
        };
        let exponent = exponent.filter(|exponent: &f64| *exponent > 0.0 && exponent.is_finite());
        exponent.map(Self::Zipf).ok_or_else(|| "uniform, zipf, or zipf: and an exponent above 0".to_owned())
    }
}

/// The SKUs that are bought, each with its free units before the load.
#[derive(Debug)]
pub struct Shelf {
    skus: Vec<u32>,
    free: BTreeMap<u32, u64>,
    zipf: Option<Zipf<f64>>,
}

impl Shelf {
    /// The first SKUs of the catalogue of which there are free units.
    pub async fn look(clients: &Clients, token: &str, most: u32, choice: Choice) -> anyhow::Result<Self> {
        let most = usize::try_from(most)?;
        let (mut free, mut last) = (BTreeMap::new(), 0);
        while free.len() < most {
            let request = ListSkusRequest { token: token.to_owned(), start_after_sku: last, count: 100 };
            let answer = clients.products.clone().list_skus(request).await.context("cannot read the catalogue")?;
            let skus = answer.into_inner().skus;
            let Some(&end) = skus.last() else { break };
            last = end;
            for sku in skus {
                let units = free_units(clients, sku).await?;
                if units > 0 && free.len() < most {
                    free.insert(sku, units);
                }
            }
        }
        ensure!(!free.is_empty(), "nothing in the catalogue is in stock");
        let skus: Vec<u32> = free.keys().copied().collect();
        let zipf = match choice {
            Choice::Uniform => None,
            #[allow(clippy::cast_precision_loss, reason = "a catalogue has fewer than 2^52 SKUs")]
            Choice::Zipf(exponent) => Some(Zipf::new(skus.len() as f64, exponent)?),
        };
        Ok(Self { skus, free, zipf })
    }

    pub fn len(&self) -> usize {
        self.skus.len()
    }

    /// The free units of all SKUs together.
    pub fn units(&self) -> u64 {
        self.free.values().sum()
    }

    pub fn before(&self) -> BTreeMap<u32, u64> {
        self.free.clone()
    }

    /// The SKU that everybody wants in a flash sale.
    pub fn first(&self) -> u32 {
        self.skus[0]
    }

    pub fn choose(&self, random: &mut StdRng) -> u32 {
        let place = match &self.zipf {
            None => random.random_range(0..self.skus.len()),
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is from 1 to the number of SKUs"
            )]
            Some(zipf) => (zipf.sample(random) as usize).clamp(1, self.skus.len()) - 1,
        };
        self.skus[place]
    }
}

/// The free units of a SKU in all warehouses.
pub async fn free_units(clients: &Clients, sku: u32) -> anyhow::Result<u64> {
    let answer = clients.loms(i64::from(sku)).stocks(StocksRequest { sku }).await;
    let answer = answer.with_context(|| format!("cannot read the stock of SKU {sku}"))?;
    Ok(answer.into_inner().stocks.iter().map(|stock| stock.count).sum())
}
