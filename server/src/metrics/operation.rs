//! The operations, by name.

/// Declares the operations: what is listed is dispatched, counted and found by its name.
macro_rules! operations {
    ($($name:ident,)*) => {
        /// An operation that is built, as the API and the metrics name it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs)]
        pub enum Operation {
            $($name,)*
        }

        impl Operation {
            /// Every operation, in the order of its declaration.
            pub const ALL: [Operation; [$(stringify!($name)),*].len()] = [$(Operation::$name,)*];

            /// Its name in the API, which is also the rpc's.
            pub fn name(self) -> &'static str {
                match self {
                    $(Operation::$name => stringify!($name),)*
                }
            }
        }
    };
}

operations! {
    AddTagsToStream,
    CreateStream,
    DecreaseStreamRetentionPeriod,
    DeleteResourcePolicy,
    DeleteStream,
    DeregisterStreamConsumer,
    DescribeAccountSettings,
    DescribeLimits,
    DescribeShardLoad,
    DescribeStream,
    DescribeStreamConsumer,
    DescribeStreamSummary,
    DisableEnhancedMonitoring,
    EnableEnhancedMonitoring,
    GetRecords,
    GetResourcePolicy,
    GetShardIterator,
    IncreaseStreamRetentionPeriod,
    ListShards,
    ListStreamConsumers,
    ListStreams,
    ListTagsForResource,
    ListTagsForStream,
    MergeShards,
    Produce,
    PutRecord,
    PutRecords,
    PutResourcePolicy,
    RegisterStreamConsumer,
    RemoveTagsFromStream,
    SetQuotas,
    SplitShard,
    StartStreamEncryption,
    StopStreamEncryption,
    SubscribeToShard,
    TagResource,
    UntagResource,
    UpdateAccountSettings,
    UpdateMaxRecordSize,
    UpdateShardCount,
    UpdateStreamMode,
    UpdateStreamRecordDistributionStrategy,
    UpdateStreamWarmThroughput,
}

impl Operation {
    /// The operation of that name.
    pub fn of_name(name: &str) -> Option<Operation> {
        let named = |operation: &Operation| operation.name() == name;
        Operation::ALL.into_iter().find(named)
    }
}
