{{ config(materialized='table') }}
select id, upper(label) as label from {{ ref('cleaned') }}
