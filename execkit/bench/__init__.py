"""`execkit bench`: how fast, beside others on the same work; and how near to real orders.

A workload is a module with `NAME`, `prepare`, `tasks` and `part` (`setting.Workload`), listed in
`run.WORKLOADS`; what each engine does in it is a file in `peers/`.
"""
