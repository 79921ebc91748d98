"""Amazon Bedrock's Converse: one format for all models that Bedrock serves.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from deluge.dialects.bedrock.dialect import BedrockConverse

__all__ = ["DIALECT", "BedrockConverse"]

DIALECT = BedrockConverse()
