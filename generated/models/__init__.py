# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
"""Contains all the data models used in inputs/outputs"""

from .batch import Batch
from .batch_error import BatchError
from .batch_errors import BatchErrors
from .batch_file_expiration_after import BatchFileExpirationAfter
from .batch_file_expiration_after_anchor import BatchFileExpirationAfterAnchor
from .batch_object import BatchObject
from .batch_request_counts import BatchRequestCounts
from .batch_request_input import BatchRequestInput
from .batch_request_input_method import BatchRequestInputMethod
from .batch_request_output import BatchRequestOutput
from .batch_request_output_error import BatchRequestOutputError
from .batch_request_output_response import BatchRequestOutputResponse
from .batch_status import BatchStatus
from .batch_usage import BatchUsage
from .batch_usage_input_tokens_details import BatchUsageInputTokensDetails
from .batch_usage_output_tokens_details import BatchUsageOutputTokensDetails
from .create_batch_request import CreateBatchRequest
from .create_batch_request_completion_window import CreateBatchRequestCompletionWindow
from .create_batch_request_endpoint import CreateBatchRequestEndpoint
from .create_file_request import CreateFileRequest
from .create_file_request_purpose import CreateFileRequestPurpose
from .delete_file_response import DeleteFileResponse
from .delete_file_response_object import DeleteFileResponseObject
from .file_expiration_after import FileExpirationAfter
from .file_expiration_after_anchor import FileExpirationAfterAnchor
from .list_batches_response import ListBatchesResponse
from .list_batches_response_object import ListBatchesResponseObject
from .list_files_order import ListFilesOrder
from .list_files_response import ListFilesResponse
from .open_ai_file import OpenAIFile
from .open_ai_file_object import OpenAIFileObject
from .open_ai_file_purpose import OpenAIFilePurpose
from .open_ai_file_status import OpenAIFileStatus

__all__ = (
    "Batch",
    "BatchError",
    "BatchErrors",
    "BatchFileExpirationAfter",
    "BatchFileExpirationAfterAnchor",
    "BatchObject",
    "BatchRequestCounts",
    "BatchRequestInput",
    "BatchRequestInputMethod",
    "BatchRequestOutput",
    "BatchRequestOutputError",
    "BatchRequestOutputResponse",
    "BatchStatus",
    "BatchUsage",
    "BatchUsageInputTokensDetails",
    "BatchUsageOutputTokensDetails",
    "CreateBatchRequest",
    "CreateBatchRequestCompletionWindow",
    "CreateBatchRequestEndpoint",
    "CreateFileRequest",
    "CreateFileRequestPurpose",
    "DeleteFileResponse",
    "DeleteFileResponseObject",
    "FileExpirationAfter",
    "FileExpirationAfterAnchor",
    "ListBatchesResponse",
    "ListBatchesResponseObject",
    "ListFilesOrder",
    "ListFilesResponse",
    "OpenAIFile",
    "OpenAIFileObject",
    "OpenAIFilePurpose",
    "OpenAIFileStatus",
)
