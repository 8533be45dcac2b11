//! The register: Target CMDB, image register, leases, runs and jobs in one DynamoDB table
