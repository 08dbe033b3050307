"""Small upstream documents of our own making, which show the traits that published ones have had."""

import copy
import json

JSON = "application/json"


def ref(name):
    return {"$ref": f"#/components/schemas/{name}"}


def answer(schema, media_type=JSON):
    return {"200": {"description": "Fine.", "content": {media_type: {"schema": schema}}}}


def body(schema, media_type=JSON):
    return {"required": True, "content": {media_type: {"schema": schema}}}


def path_parameter(name):
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def query(name, **schema):
    return {"name": name, "in": "query", "schema": {"type": "string", **schema}}


def moment():
    return {"type": "integer", "format": "unixtime", "description": "Theirs."}


def schemas():
    """Everything named, as the newest documents have it."""
    return {
        "Batch": {
            "type": "object",
            "title": "Batch",
            "description": "Their words about a batch.",
            "required": ["id", "object", "status", "created_at"],
            "properties": {
                "id": {"type": "string", "description": "Theirs."},
                "object": {"type": "string", "enum": ["batch"]},
                "status": {"type": "string", "enum": ["validating", "in_progress", "completed"]},
                "created_at": moment(),
                "completed_at": moment(),
                "output_file_id": {"type": "string", "example": "file-1"},
                "errors": {
                    "type": "object",
                    "properties": {"data": {"type": "array", "items": ref("BatchError")}},
                },
                "request_counts": ref("BatchRequestCounts"),
                "metadata": ref("Metadata"),
            },
        },
        "BatchError": {
            "type": "object",
            "properties": {"code": {"type": "string"}, "line": {"type": "integer"}},
        },
        "BatchRequestCounts": {
            "type": "object",
            "required": ["total"],
            "properties": {"total": {"type": "integer"}, "failed": {"type": "integer"}},
        },
        "Metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "CreateBatchRequest": {
            "type": "object",
            "additionalProperties": False,
            "required": ["input_file_id", "endpoint"],
            "properties": {
                "input_file_id": {"type": "string", "minLength": 1},
                "endpoint": {"type": "string", "enum": ["/v1/chat/completions", "/v1/embeddings"]},
                "metadata": ref("Metadata"),
                "output_expires_after": ref("BatchFileExpirationAfter"),
            },
        },
        "BatchFileExpirationAfter": {
            "type": "object",
            "required": ["anchor", "seconds"],
            "properties": {
                "anchor": {"type": "string", "enum": ["created_at"], "default": "created_at"},
                "seconds": {"type": "integer", "minimum": 3600},
            },
        },
        "ListBatchesResponse": {
            "type": "object",
            "required": ["data", "has_more"],
            "properties": {
                "data": {"type": "array", "items": ref("Batch")},
                "last_id": {"type": "string"},
                "has_more": {"type": "boolean"},
            },
        },
        "OpenAIFile": {
            "required": ["id", "bytes"],
            "properties": {
                "id": {"type": "string"},
                "bytes": {"type": "integer"},
                "created_at": moment(),
                "purpose": {"type": "string", "enum": ["batch", "batch_output"]},
                "status": {"type": "string", "enum": ["processed"], "deprecated": True},
            },
        },
        "CreateFileRequest": {
            "type": "object",
            "required": ["file", "purpose"],
            "properties": {
                "file": {"type": "string", "format": "binary"},
                "purpose": {"type": "string", "enum": ["batch"]},
            },
        },
        "ListFilesResponse": {
            "type": "object",
            "required": ["data"],
            "properties": {"data": {"type": "array", "items": ref("OpenAIFile")}},
        },
        "DeleteFileResponse": {
            "type": "object",
            "required": ["id", "deleted"],
            "properties": {"id": {"type": "string"}, "deleted": {"type": "boolean"}},
        },
        "ChatRequest": {"type": "object", "properties": {"unrelated": {"type": "string"}}},
    }


def document():
    """A document as the newest ones are: OpenAPI 3.1, all objects named, null said nowhere."""
    return copy.deepcopy(
        {
            "openapi": "3.1.0",
            "info": {"title": "Theirs", "version": "7.0.0"},
            "servers": [{"url": "https://theirs.example/v1"}],
            "security": [{"TheirKey": []}],
            "paths": {
                "/chat": {
                    "post": {"operationId": "chat", "requestBody": body(ref("ChatRequest")), "responses": {}}
                },
                "/batches": {
                    "post": {
                        "operationId": "createBatch",
                        "tags": ["Batch"],
                        "summary": "Their words about creating.",
                        "x-oaiMeta": {"examples": {"response": "{...}"}},
                        "requestBody": body(ref("CreateBatchRequest")),
                        "responses": answer(ref("Batch")),
                    },
                    "get": {
                        "operationId": "listBatches",
                        "tags": ["Batch"],
                        "parameters": [query("after"), query("limit", type="integer", default=20)],
                        "responses": answer(ref("ListBatchesResponse")),
                    },
                },
                "/batches/{batch_id}": {
                    "get": {
                        "operationId": "retrieveBatch",
                        "tags": ["Batch"],
                        "parameters": [path_parameter("batch_id")],
                        "responses": answer(ref("Batch")),
                    },
                },
                "/batches/{batch_id}/cancel": {
                    "post": {
                        "operationId": "cancelBatch",
                        "tags": ["Batch"],
                        "parameters": [path_parameter("batch_id")],
                        "responses": answer(ref("Batch")),
                    },
                },
                "/files": {
                    "post": {
                        "operationId": "createFile",
                        "tags": ["Files"],
                        "requestBody": body(ref("CreateFileRequest"), "multipart/form-data"),
                        "responses": answer(ref("OpenAIFile")),
                    },
                    "get": {
                        "operationId": "listFiles",
                        "tags": ["Files"],
                        "parameters": [query("order", enum=["asc", "desc"])],
                        "responses": answer(ref("ListFilesResponse")),
                    },
                },
                "/files/{file_id}": {
                    "get": {
                        "operationId": "retrieveFile",
                        "tags": ["Files"],
                        "parameters": [path_parameter("file_id")],
                        "responses": answer(ref("OpenAIFile")),
                    },
                    "delete": {
                        "operationId": "deleteFile",
                        "tags": ["Files"],
                        "parameters": [path_parameter("file_id")],
                        "responses": answer(ref("DeleteFileResponse")),
                    },
                },
                "/files/{file_id}/content": {
                    "get": {
                        "operationId": "downloadFile",
                        "tags": ["Files"],
                        "parameters": [path_parameter("file_id")],
                        "responses": answer({"type": "string"}),
                    },
                },
            },
            "components": {"schemas": schemas()},
        }
    )


def batch(upstream):
    """The properties of a batch in a document."""
    return upstream["components"]["schemas"]["Batch"]["properties"]


def operations(upstream):
    return [operation for item in upstream["paths"].values() for operation in item.values()]


def encoded(upstream):
    return json.dumps(upstream).encode()
