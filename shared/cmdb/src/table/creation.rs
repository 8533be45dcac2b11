//! Making the table, where no template made it.

use std::time::Duration;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TableStatus,
};

use super::Table;
use crate::error::RegisterError;
use crate::shape::{IndexShape, KeyElement, table_shape};

/// How often a new table is looked at until it is active.
const MOST_LOOKS: u32 = 120;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

impl Table {
    /// Makes the table and its index where they are not there yet, and waits until it can be used.
    pub(crate) async fn ensure(&self) -> Result<(), RegisterError> {
        for look in 0..MOST_LOOKS {
            match self.status().await? {
                Some(TableStatus::Active) => return Ok(()),
                Some(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
                None if look == 0 => self.create().await?,
                None => tokio::time::sleep(BETWEEN_LOOKS).await,
            }
        }
        Err(RegisterError::Contention { doing: "waiting for the table" })
    }

    /// What the database calls this table; another table never has the same name there, nor a restored copy of it.
    pub(crate) async fn identity(&self) -> Result<String, RegisterError> {
        let doing = "asking which table this is";
        let answer = self.client.describe_table().table_name(&self.name).send().await;
        let answer = answer.map_err(|error| RegisterError::from_client(doing, error))?;
        answer
            .table
            .and_then(|table| table.table_id)
            .ok_or_else(|| RegisterError::Refused { doing, source: "the database did not name it".into() })
    }

    async fn status(&self) -> Result<Option<TableStatus>, RegisterError> {
        match self.client.describe_table().table_name(&self.name).send().await {
            Ok(answer) => Ok(answer.table.and_then(|table| table.table_status)),
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) =>
            {
                Ok(None)
            }
            Err(error) => Err(RegisterError::from_client("describing the table", error)),
        }
    }

    async fn create(&self) -> Result<(), RegisterError> {
        let doing = "making the table";
        let request = as_described(self.client.create_table().table_name(&self.name));
        match request.map_err(|error| RegisterError::from_build(doing, error))?.send().await {
            Ok(_) => Ok(()),
            // Somebody else makes it just now.
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(RegisterError::from_client(doing, error)),
        }
    }
}

/// The request for the table that [`table_shape`] describes.
fn as_described(request: CreateTableFluentBuilder) -> Result<CreateTableFluentBuilder, BuildError> {
    let shape = table_shape();
    let mut request = request
        .billing_mode(BillingMode::from(shape.billing_mode))
        .set_key_schema(Some(key_schema(&shape.key_schema)?));
    for attribute in shape.attribute_definitions {
        let definition = AttributeDefinition::builder()
            .attribute_name(attribute.attribute_name)
            .attribute_type(ScalarAttributeType::from(attribute.attribute_type))
            .build()?;
        request = request.attribute_definitions(definition);
    }
    for described in shape.global_secondary_indexes {
        request = request.global_secondary_indexes(index(&described)?);
    }
    Ok(request)
}

fn key_schema(elements: &[KeyElement]) -> Result<Vec<KeySchemaElement>, BuildError> {
    let element = |element: &KeyElement| {
        let kind = KeyType::from(element.key_type);
        KeySchemaElement::builder().attribute_name(element.attribute_name).key_type(kind).build()
    };
    elements.iter().map(element).collect()
}

fn index(shape: &IndexShape) -> Result<GlobalSecondaryIndex, BuildError> {
    let projection = ProjectionType::from(shape.projection.projection_type);
    GlobalSecondaryIndex::builder()
        .index_name(shape.index_name)
        .set_key_schema(Some(key_schema(&shape.key_schema)?))
        .projection(Projection::builder().projection_type(projection).build())
        .build()
}
