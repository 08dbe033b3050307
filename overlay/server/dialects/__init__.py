"""Other services' dialects, spoken by the embedded service: `Service(dialect="together")`.

Each is written from what its service documents, and has that service's paths, headers, words, shapes and limits.
Where documents disagree, requests are taken either way.

    table             the services: one `Dialect` each, which is data
    particulars       ids and small shapes that single services have
    dialect           what a dialect may differ in
    entering          a request's path, method and key, as the API's own
    translation       the layer around the service: bodies on their way in, JSON on its way out
    shapes            batches, files and lists, as data says
    refusals          bodies of errors
    together, mistral, production_stack
                      the three whose objects are other ones
    redirected        an upload whose content goes to a storage
    inner             a request to the service behind the layer
"""
