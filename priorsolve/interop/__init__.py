"""priorsolve in other people's pipelines: one module for each library, which imports that library."""
