"""A perf.data understood: threads, maps, resolved samples, histograms."""
