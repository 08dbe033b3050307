"""Azure OpenAI with Microsoft Entra ID instead of a key: `pip install azure-identity`.

    python examples/azure_entra.py requests.jsonl https://RESOURCE.openai.azure.com/openai/v1/

azure-identity's `get_bearer_token_provider` returns a plain function that returns a token and renews it before it
expires: it can be used as a token provider as it is. `model` in each request is the name of a deployment.
"""

import sys

from azure.identity import DefaultAzureCredential, get_bearer_token_provider

from overlay import Client

SCOPE = "https://cognitiveservices.azure.com/.default"


def main(requests: str, base_url: str) -> None:
    token = get_bearer_token_provider(DefaultAzureCredential(), SCOPE)
    with Client(token=token, base_url=base_url) as client:
        file = client.files.upload(requests)
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")
        batch = client.batches.wait(batch.id, on_change=print)
        for result in client.batches.results(batch.id):
            print(result.custom_id, result.text if result.ok else result.error)


if __name__ == "__main__":
    main(*sys.argv[1:])
